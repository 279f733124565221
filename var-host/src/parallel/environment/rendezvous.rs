//! Where the ranks of a job find each other.

use core::net::IpAddr;
use core::time::Duration;

use super::variables::{EnvironmentError, Variables};
use super::{Launch, Launcher, Secret, hosts};

/// Rendezvous: rank 0's address, and the facts that all ranks of a job have beforehand.
///
/// | item | value |
/// |---|---|
/// | machine | `MASTER_ADDR`; else 127.0.0.1 if the launcher has all ranks on this machine; else the first of SLURM's list; else 127.0.0.1 |
/// | port | `MASTER_PORT`, or one of the eight after it where torchrun's own agent listens on it; else one of eight from 16384 to 32767, by the name of the job; 29500 if it has none |
/// | job | `VAR_RANKS_JOB`, and the number that torchrun, Open MPI or SLURM gave it |
/// | secret | `VAR_RANKS_SECRET` |
/// | patience | `VAR_RANKS_TIMEOUT` in seconds; else 300 |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendezvous {
    /// The name or the address of rank 0's machine.
    pub host: String,
    /// The ports rank 0 tries in turn, and the others look for it at.
    pub ports: Vec<u16>,
    /// The launcher's name of the job. It keeps jobs apart that meet by mistake; it is no secret.
    pub job: String,
    /// Proof that a connection comes from a rank of this job.
    pub secret: Secret,
    /// How long ranks wait for each other at the start.
    pub patience: Duration,
}

const HERE: &str = "127.0.0.1";

/// torchrun's default.
const DEFAULT_PORT: u16 = 29500;

/// Ports tried where the port is not given: somebody else may be at the first.
const PORTS: u16 = 8;

/// Below the systems' ephemeral ports.
const FIRST_PORT: u16 = 16384;
const LAST_PORT: u16 = 32767;

/// The machines of a job start at different times.
const PATIENCE_S: usize = 300;
const LONGEST_PATIENCE_S: usize = 7 * 24 * 3600;

impl Rendezvous {
    /// Of ranks that are all on this machine, for a job of this name.
    #[must_use]
    pub fn on_this_machine(job: &str) -> Self {
        Self {
            host: HERE.to_owned(),
            ports: ports_by_name(job),
            job: job.to_owned(),
            secret: Secret::default(),
            patience: Duration::from_secs(PATIENCE_S as u64),
        }
    }

    /// The rendezvous read from the environment.
    ///
    /// # Errors
    /// If a variable is not of its kind, or nobody says where rank 0 is.
    pub fn from_environment(launch: &Launch) -> Result<Self, EnvironmentError> {
        Self::read(launch, &Variables::from_environment()?)
    }

    pub(super) fn read(launch: &Launch, variables: &Variables) -> Result<Self, EnvironmentError> {
        let job = job(launch.launcher, variables);
        let ports = ports(&job, variables)?;
        let host = host(launch, variables)?;
        let patience = variables.number_within("VAR_RANKS_TIMEOUT", 1, LONGEST_PATIENCE_S)?;
        let patience = Duration::from_secs(patience.unwrap_or(PATIENCE_S) as u64);
        let secret = Secret::read(variables)?;
        Ok(Self { host, ports, job, secret, patience })
    }

    /// The key that ranks prove to each other to have.
    pub(in crate::parallel) fn key(&self) -> [u8; blake3::KEY_LEN] {
        self.secret.key(&self.job)
    }

    /// A line where other machines can reach the ranks and nothing but the job's name, which is no
    /// secret, keeps other programs out.
    pub fn warning(&self) -> Option<String> {
        (!self.is_loopback() && self.secret.is_none()).then(|| {
            format!(
                "{}: other machines can reach the ranks, and VAR_RANKS_SECRET is not set: whoever \
                 knows the job's number can join the run",
                self.host
            )
        })
    }

    /// Whether all ranks must be on one machine.
    pub(in crate::parallel) fn is_loopback(&self) -> bool {
        let address = self.host.parse::<IpAddr>();
        self.host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }
}

fn host(launch: &Launch, variables: &Variables) -> Result<String, EnvironmentError> {
    if let Some(host) = variables.text("MASTER_ADDR") {
        let host = host.trim();
        if host.is_empty() {
            return Err(EnvironmentError::NoMachine { name: "MASTER_ADDR", value: String::new() });
        }
        if host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified()) {
            let value = host.to_owned();
            return Err(EnvironmentError::NoMachine { name: "MASTER_ADDR", value });
        }
        return Ok(host.to_owned());
    }
    if launch.local_size == Some(launch.size) {
        return Ok(HERE.to_owned());
    }
    // The machines of the job, in order; those of the step are mpirun's helpers' if it is not srun
    // that started the ranks.
    let lists = match launch.launcher {
        Launcher::Slurm => ["SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST"],
        _ => ["SLURM_JOB_NODELIST", "SLURM_STEP_NODELIST"],
    };
    for name in lists {
        if let Some(list) = variables.text(name) {
            let fault = || EnvironmentError::NoMachine { name, value: list.to_owned() };
            return hosts::first(list).ok_or_else(fault);
        }
    }
    if let Some(address) = variables.text("SLURM_LAUNCH_NODE_IPADDR") {
        return Ok(address.to_owned());
    }
    match launch.local_size {
        Some(value) => {
            let [_, size_name, _, name] = launch.launcher.names();
            let size = launch.size;
            Err(EnvironmentError::SeveralMachines { name, value, size_name, size })
        }
        None => Ok(HERE.to_owned()),
    }
}

fn ports(job: &str, variables: &Variables) -> Result<Vec<u16>, EnvironmentError> {
    // torchrun says so with Python's True; then its store listens on the port.
    let taken = variables.text("TORCHELASTIC_USE_AGENT_STORE") == Some("True");
    let most = usize::from(if taken { u16::MAX - PORTS } else { u16::MAX });
    Ok(match variables.number_within("MASTER_PORT", 1, most)? {
        Some(port) if taken => (1..=PORTS).map(|more| port as u16 + more).collect(),
        Some(port) => vec![port as u16],
        None if job.is_empty() => vec![DEFAULT_PORT],
        None => ports_by_name(job),
    })
}

fn ports_by_name(job: &str) -> Vec<u16> {
    let starts = u64::from(LAST_PORT - FIRST_PORT + 2 - PORTS);
    let start = FIRST_PORT + (hash(job) % starts) as u16;
    (start..start + PORTS).collect()
}

/// A name that all ranks of the job, and only they, have in their environment.
fn job(launcher: Launcher, variables: &Variables) -> String {
    let of_launcher: &[&str] = match launcher {
        Launcher::Torchrun => &["TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT"],
        Launcher::OpenMpi => &["PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid"],
        Launcher::Slurm => &["SLURM_JOB_ID", "SLURM_STEP_ID"],
        Launcher::Mpich | Launcher::None => &[],
    };
    let names = [&["VAR_RANKS_JOB"], of_launcher].concat();
    let values = names.iter().filter_map(|name| Some((name, variables.text(name)?)));
    Vec::from_iter(values.map(|(name, value)| format!("{name}={value}"))).join(" ")
}

/// FNV-1a.
fn hash(text: &str) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    text.bytes().fold(BASIS, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&'static str, &str)]) -> Result<Rendezvous, EnvironmentError> {
        let variables = Variables::of(pairs);
        Rendezvous::read(&Launch::read(&variables, false).unwrap(), &variables)
    }

    #[track_caller]
    fn rendezvous(pairs: &[(&'static str, &str)]) -> Rendezvous {
        read(pairs).unwrap()
    }

    const RANK: [(&str, &str); 2] = [("RANK", "0"), ("WORLD_SIZE", "2")];

    fn with<'a>(
        pairs: &[(&'static str, &'a str)],
        more: &[(&'static str, &'a str)],
    ) -> Vec<(&'static str, &'a str)> {
        [pairs, more].concat()
    }

    #[test]
    fn address_and_port_are_taken_as_given() {
        let given = rendezvous(&with(&RANK, &[("MASTER_ADDR", "node7"), ("MASTER_PORT", "1234")]));
        assert_eq!((given.host.as_str(), &given.ports[..]), ("node7", &[1234][..]));
        assert_eq!(given.patience, Duration::from_secs(300));
        assert!(!given.is_loopback());
        let nothing = rendezvous(&RANK);
        assert_eq!((nothing.host.as_str(), &nothing.ports[..]), ("127.0.0.1", &[29500][..]));
        assert!(nothing.is_loopback());
        assert_eq!(rendezvous(&with(&RANK, &[("VAR_RANKS_TIMEOUT", "7")])).patience.as_secs(), 7);
    }

    #[test]
    fn missing_secret_is_warned_of_where_others_can_connect() {
        let secret = ("VAR_RANKS_SECRET", "0123456789abcdef");
        let away = with(&RANK, &[("MASTER_ADDR", "node7")]);
        assert!(
            rendezvous(&away).warning().unwrap().starts_with("node7: other machines can reach")
        );
        let with_secret = rendezvous(&with(&away, &[secret]));
        assert_eq!(with_secret.warning(), None);
        assert!(!format!("{with_secret:?}").contains("0123"));
        for address in ["127.0.0.1", "localhost", "::1"] {
            assert_eq!(rendezvous(&with(&RANK, &[("MASTER_ADDR", address)])).warning(), None);
        }
        assert_ne!(with_secret.key(), rendezvous(&away).key());
        // Secret and job do not run into each other.
        let key = |secret: &str, job: &str| Secret::from(secret).key(job);
        assert_ne!(key("0123456789abcdef", "0"), key("0123456789abcdef0", ""));
    }

    #[test]
    fn port_of_torchruns_agent_is_left_alone() {
        let agent = [("MASTER_PORT", "29400"), ("TORCHELASTIC_USE_AGENT_STORE", "True")];
        assert_eq!(rendezvous(&with(&RANK, &agent)).ports, Vec::from_iter(29401..=29408));
        let own = [("MASTER_PORT", "29400"), ("TORCHELASTIC_USE_AGENT_STORE", "False")];
        assert_eq!(rendezvous(&with(&RANK, &own)).ports, [29400]);
    }

    #[test]
    fn jobs_without_a_port_have_their_own() {
        let open_mpi = |job| {
            rendezvous(&[
                ("OMPI_COMM_WORLD_RANK", "1"),
                ("OMPI_COMM_WORLD_SIZE", "2"),
                ("OMPI_COMM_WORLD_LOCAL_SIZE", "2"),
                ("PMIX_NAMESPACE", job),
            ])
        };
        let (one, other) = (open_mpi("1797259265"), open_mpi("1797259266"));
        assert_eq!(one, open_mpi("1797259265"));
        assert_ne!(one.key(), other.key());
        assert_ne!(one.ports, other.ports);
        for rendezvous in [one, other] {
            assert_eq!((rendezvous.host.as_str(), rendezvous.ports.len()), ("127.0.0.1", 8));
            assert!(rendezvous.ports.iter().all(|port| (16384..=32767).contains(port)));
        }
        // Variables of other launchers, which differ between the ranks, are not looked at.
        let step = [("SLURM_JOB_ID", "9"), ("SLURM_STEP_ID", "3")];
        assert_eq!(rendezvous(&with(&RANK, &step)).job, "");
    }

    #[test]
    fn slurms_first_machine_is_rank_0s() {
        let slurm = [("SLURM_PROCID", "1"), ("SLURM_NTASKS", "4"), ("SLURM_JOB_ID", "9")];
        let address = ("SLURM_LAUNCH_NODE_IPADDR", "10.0.0.1");
        let nodes = ("SLURM_STEP_NODELIST", "node[03-04]");
        assert_eq!(rendezvous(&with(&slurm, &[address])).host, "10.0.0.1");
        assert_eq!(rendezvous(&with(&slurm, &[address, nodes])).host, "node03");
        // A step may have a part of the job's machines.
        let job = ("SLURM_JOB_NODELIST", "node[01-04]");
        assert_eq!(rendezvous(&with(&slurm, &[job, nodes])).host, "node03");
        let given = [address, nodes, ("MASTER_ADDR", "here")];
        assert_eq!(rendezvous(&with(&slurm, &given)).host, "here");
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let machines = [
            ("OMPI_COMM_WORLD_RANK", "1"),
            ("OMPI_COMM_WORLD_SIZE", "4"),
            ("OMPI_COMM_WORLD_LOCAL_SIZE", "2"),
        ];
        for (pairs, message) in [
            (
                with(&RANK, &[("MASTER_PORT", "70000")]),
                "MASTER_PORT is 70000 in the environment, wants 1 to 65535",
            ),
            (
                with(&RANK, &[("MASTER_PORT", "0")]),
                "MASTER_PORT is 0 in the environment, wants 1 to 65535",
            ),
            (
                with(&RANK, &[("MASTER_PORT", "http")]),
                "MASTER_PORT in the environment: \"http\" is no number",
            ),
            (
                with(&RANK, &[("MASTER_ADDR", " ")]),
                "MASTER_ADDR in the environment: \"\" names no machine",
            ),
            (
                with(&RANK, &[("MASTER_ADDR", "0.0.0.0")]),
                "MASTER_ADDR in the environment: \"0.0.0.0\" names no machine",
            ),
            (
                with(&RANK, &[("VAR_RANKS_SECRET", "short")]),
                "VAR_RANKS_SECRET in the environment has 5 bytes, at least 16 are needed",
            ),
            (
                with(&RANK, &[("VAR_RANKS_TIMEOUT", "0")]),
                "VAR_RANKS_TIMEOUT is 0 in the environment, wants 1 to 604800",
            ),
            (
                vec![
                    ("SLURM_PROCID", "1"),
                    ("SLURM_NTASKS", "4"),
                    ("SLURM_STEP_NODELIST", "node["),
                ],
                "SLURM_STEP_NODELIST in the environment: \"node[\" names no machine",
            ),
            (
                machines.to_vec(),
                "OMPI_COMM_WORLD_LOCAL_SIZE is 2 in the environment, OMPI_COMM_WORLD_SIZE 4: \
                 on several machines, MASTER_ADDR must name that of rank 0",
            ),
        ] {
            assert_eq!(read(&pairs).unwrap_err().to_string(), message);
        }
        let nodes = [("SLURM_JOB_NODELIST", "a1,a2"), ("SLURM_STEP_NODELIST", "a2")];
        assert_eq!(rendezvous(&with(&machines, &nodes)).host, "a1");
    }
}
