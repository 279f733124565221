//! `var serve`: the local web page and HTTP interface.

use core::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};

use anyhow::Result;
use clap::Args;
use var_serve::{Limits, Server, Settings};

use crate::args::values::{self, LARGEST_BATCH};
use crate::args::{ModelOptions, Session, result};
use crate::interrupt::Serving;

/// Show a web page on this machine that samples, edits and scores
///
/// Prints its address and serves until Ctrl-C. Nothing leaves the machine: the page is in this program,
/// and only programs of this machine reach it, unless --host names another address. The page tells of
/// the HTTP interface too.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Address to listen at, 0.0.0.0 or :: for all of this machine's: everyone who reaches it can draw
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_parser = address)]
    host: IpAddr,
    /// Port to listen at; 0 = any that is free
    #[arg(long, value_name = "N", default_value_t = 8400, value_parser = values::whole(0..=u16::MAX))]
    port: u16,
    /// Open the page in the browser
    #[arg(long)]
    open: bool,
    /// Jobs that wait besides the one at work; more are refused
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = values::whole(1_u16..=1024))]
    queue: u16,
    /// Images that go through the model together; the images do not depend on it
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = values::whole(1_u16..=LARGEST_BATCH))]
    batch: u16,
    #[command(flatten)]
    model: ModelOptions,
}

pub(crate) fn run(options: &Options, session: &Session) -> Result<()> {
    let model = options.model.open_vqvae(session)?;
    let (device, device_name) = session.device_of_model()?;
    let mut limits = Limits::default();
    limits.queue = options.queue.into();
    limits.batch = options.batch.into();
    let server = Server::bind(Settings {
        host: options.host,
        port: options.port,
        limits,
        files: options.model.files(),
        device: device_name,
        threads: session.threads,
        isa: session.isa.name().to_owned(),
    })?;
    if !options.host.is_loopback() {
        let host = options.host;
        session.warn(&format!("--host {host}: everyone who reaches this machine there can draw"));
    }
    let stop = server.stop();
    let serving = Serving::begin(move || stop.stop());
    result(&server.url())?;
    if options.open {
        open(&server.url(), session);
    }
    let front = var_host::Model::new(model.weights).named(model.name).on(device);
    server.run(front)?;
    drop(serving);
    Ok(())
}

/// An IP address.
fn address(text: &str) -> Result<IpAddr, String> {
    match text {
        "localhost" => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        _ => text.parse().map_err(|_| format!("{text:?} is no IP address such as 127.0.0.1")),
    }
}

/// Opens `url` in the browser, if there is one.
fn open(url: &str, session: &Session) {
    let (program, first): (&str, &[&str]) = if cfg!(target_os = "windows") {
        ("cmd", &["/c", "start"])
    } else if cfg!(target_os = "macos") {
        ("open", &[])
    } else {
        ("xdg-open", &[])
    };
    let mut command = Command::new(program);
    command.args(first).arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Err(error) = command.spawn() {
        session.warn(&format!("--open: {program} cannot be started: {error}"));
    }
}
