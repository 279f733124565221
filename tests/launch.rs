//! Programs started as ranks on this machine, as torchrun would.

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::io::Read;
use std::process::{Child, Command, Output, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use var_host::parallel::environment;

/// Processes that are each other's ranks. Those that still run are killed when this is dropped.
pub(crate) struct ProcessGroup(Vec<Rank>);

struct Rank {
    child: Child,
    /// Threads that read its output, lest it waits for a reader.
    stdout: JoinHandle<Vec<u8>>,
    stderr: JoinHandle<Vec<u8>>,
}

impl ProcessGroup {
    /// Starts the commands as ranks of one job, in their order.
    ///
    /// No port is chosen beforehand, so none can be lost to somebody else: a job without
    /// `MASTER_PORT` takes the first free one of some that its name gives.
    pub(crate) fn start(commands: impl IntoIterator<Item = Command>) -> Self {
        let commands = Vec::from_iter(commands);
        let (job, size) = (unique_name(), commands.len().to_string());
        let ranks = commands.into_iter().enumerate().map(|(rank, mut command)| {
            without_launcher(&mut command);
            let rank = rank.to_string();
            command.env("RANK", &rank).env("LOCAL_RANK", rank);
            command.env("WORLD_SIZE", &size).env("VAR_RANKS_JOB", &job);
            command.env("VAR_RANKS_TIMEOUT", "60");
            Rank::start(&mut command)
        });
        Self(ranks.collect())
    }

    /// Starts a command that no launcher started, which may be one.
    #[allow(dead_code, reason = "of the test programs that have this file, one starts mpirun")]
    pub(crate) fn start_alone(mut command: Command) -> Self {
        without_launcher(&mut command);
        Self(vec![Rank::start(&mut command)])
    }

    /// The process of a rank.
    #[allow(dead_code, reason = "of the test programs that have this file, one sends signals")]
    pub(crate) fn id(&self, rank: usize) -> u32 {
        self.0[rank].child.id()
    }

    /// Kills a rank: it cannot say goodbye.
    pub(crate) fn kill(&mut self, rank: usize) {
        self.0[rank].child.kill().expect("a process that runs");
    }

    /// Waits until all have ended.
    ///
    /// # Panics
    /// If one still runs after `limit`.
    #[track_caller]
    pub(crate) fn wait(mut self, limit: Duration) -> Vec<Output> {
        let start = Instant::now();
        let mut outputs = Vec::new();
        for rank in 0..self.0.len() {
            while self.0[rank].child.try_wait().expect("a child").is_none() {
                assert!(start.elapsed() < limit, "rank {rank} still runs after {limit:?}");
                thread::sleep(Duration::from_millis(10));
            }
        }
        for Rank { mut child, stdout, stderr } in self.0.drain(..) {
            let status = child.wait().expect("a child");
            let [stdout, stderr] = [stdout, stderr].map(|thread| thread.join().expect("a reader"));
            outputs.push(Output { status, stdout, stderr });
        }
        outputs
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        for Rank { child, .. } in &mut self.0 {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Rank {
    fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("a program to run");
        let stdout = read_all(child.stdout.take().expect("a pipe"));
        let stderr = read_all(child.stderr.take().expect("a pipe"));
        Self { child, stdout, stderr }
    }
}

fn read_all(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).expect("a pipe");
        bytes
    })
}

/// Removes variables set by a launcher of the tests themselves.
pub(crate) fn without_launcher(command: &mut Command) {
    for name in environment::NAMES {
        command.env_remove(name);
    }
}

/// A name no other job on this machine has.
pub(crate) fn unique_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let time = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_nanos();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("test-{}-{count}-{time}", std::process::id())
}
