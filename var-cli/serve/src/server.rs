//! A model on a port.

use core::net::{IpAddr, SocketAddr};
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use serde_json::json;
use tokio::runtime;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time;
use var_host::Model;

use crate::compute::Computer;
use crate::description::Description;
use crate::http::{self, ServerNames, Shared};
use crate::jobs::Jobs;
use crate::limits::Limits;
use crate::observed::Observed;
use crate::request;

/// Time between two looks at memory and model files.
const LOOK: core::time::Duration = core::time::Duration::from_secs(2);

/// Ports after the one in use that are tried for the message.
const TRIED_PORTS: u16 = 100;

/// Where and how to serve.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Address to listen at.
    pub host: IpAddr,
    /// Port; 0 for any that is free.
    pub port: u16,
    /// Bounds of requests, jobs and connections.
    pub limits: Limits,
    /// Files of the model, to be noticed when they are replaced.
    pub files: Vec<PathBuf>,
    /// Name of the device, for `/api/info`.
    pub device: String,
    /// Threads that compute.
    pub threads: usize,
    /// Name of the instruction set.
    pub isa: String,
}

/// A server that cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The port is another program's.
    #[error("{address}: the port is in use; {}", free_port(*.free))]
    PortInUse {
        /// The address and the port.
        address: SocketAddr,
        /// The next port that is free, if one of the next hundred is.
        free: Option<u16>,
    },
    /// The system does not let it listen there.
    #[error("{address}: cannot listen there: {source}")]
    Listen {
        /// The address and the port.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The model has no VQVAE, without which there are no images.
    #[error("{name}: has no VQVAE: give --vae too")]
    NoVqvae {
        /// The model's name.
        name: String,
    },
    /// The device cannot be used.
    #[error(transparent)]
    Model(#[from] var_host::Error),
    /// The system gives no thread.
    #[error("a thread cannot be started: {0}")]
    Thread(io::Error),
}

fn free_port(free: Option<u16>) -> String {
    match free {
        Some(port) => format!("the next free one is {port}: --port {port}"),
        None => format!("so are the next {TRIED_PORTS}: --port 0 takes any that is free"),
    }
}

/// A port that is taken, with nothing served on it yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    settings: Settings,
    names: ServerNames,
    stop: Stop,
}

/// A way to end a server, from any thread.
#[derive(Clone, Debug)]
pub struct Stop(Arc<watch::Sender<bool>>);

impl Stop {
    /// Ends the server: the running job stops within a scale, streams of events are closed.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Server {
    /// Takes the port.
    ///
    /// # Errors
    /// If it is in use, or the address is not this machine's.
    pub fn bind(settings: Settings) -> Result<Self, ServeError> {
        let address = SocketAddr::new(settings.host, settings.port);
        let listener = TcpListener::bind(address).map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => ServeError::PortInUse { address, free: next_free(address) },
            _ => ServeError::Listen { address, source },
        })?;
        let listen = |source| ServeError::Listen { address, source };
        listener.set_nonblocking(true).map_err(listen)?;
        let port = listener.local_addr().map_err(listen)?.port();
        let names = ServerNames::new(settings.host, port);
        Ok(Self { listener, settings, names, stop: Stop(Arc::new(watch::Sender::new(false))) })
    }

    /// Its address for people and browsers.
    pub fn url(&self) -> String {
        self.names.url()
    }

    /// A way to end it.
    pub fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// Serves `model` until it is stopped.
    ///
    /// # Errors
    /// If the model has no VQVAE, or its device or threads cannot be had.
    pub fn run(self, mut model: Model) -> Result<(), ServeError> {
        let Self { listener, settings, names, stop } = self;
        let Some(description) = Description::of(&model) else {
            return Err(ServeError::NoVqvae { name: model.name().to_owned() });
        };
        model.prepare()?;
        let description = Arc::new(description);
        let jobs = Arc::new(Jobs::new(settings.limits.clone()));
        let observed = Arc::new(Observed::new(&settings.files));
        let shared = Arc::new(Shared {
            names,
            description: Arc::clone(&description),
            jobs: Arc::clone(&jobs),
            observed: Arc::clone(&observed),
            machine: json!({
                "device": settings.device, "threads": settings.threads, "isa": settings.isa,
            }),
            body_room: Arc::new(Semaphore::new(request::permits(&settings.limits))),
            decoding: Arc::new(Semaphore::new(1)),
            limits: settings.limits,
        });
        let computer = Computer {
            model,
            description,
            jobs: Arc::clone(&jobs),
            observed: Arc::clone(&observed),
        };
        let (ended, computed) = oneshot::channel();
        let compute = move || {
            computer.run();
            // The server may not wait any longer.
            let _ = ended.send(());
        };
        let builder = thread::Builder::new().name("compute".to_owned());
        builder.spawn(compute).map_err(ServeError::Thread)?;
        // Bytes only: one thread moves them, another decodes images.
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(1)
            .build()
            .map_err(ServeError::Thread)?;
        runtime.block_on(serve(listener, shared, stop, computed))
    }
}

async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    stop: Stop,
    computed: oneshot::Receiver<()>,
) -> Result<(), ServeError> {
    let listener = tokio::net::TcpListener::from_std(listener).map_err(ServeError::Thread)?;
    let looking = Arc::clone(&shared.observed);
    tokio::spawn(async move {
        loop {
            time::sleep(LOOK).await;
            looking.look();
        }
    });
    let jobs = Arc::clone(&shared.jobs);
    let mut stopped = stop.0.subscribe();
    // Jobs end first: streams of events end with them.
    tokio::spawn(async move {
        if stopped.wait_for(|stops| *stops).await.is_ok() {
            jobs.end();
        }
    });
    let router = http::router(&shared);
    http::accept(listener, router, &shared.limits, stop.0.subscribe()).await;
    // A computing thread that does not end goes with the process.
    let _ = time::timeout(shared.limits.ending_time, computed).await;
    Ok(())
}

/// The next port that is free.
fn next_free(address: SocketAddr) -> Option<u16> {
    let next = (1..=TRIED_PORTS).filter_map(|more| address.port().checked_add(more));
    next.into_iter().find(|port| TcpListener::bind(SocketAddr::new(address.ip(), *port)).is_ok())
}
