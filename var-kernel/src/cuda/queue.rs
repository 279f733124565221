//! Commands on their way to the GPU: one by one, or noted for a whole section, which from its second
//! time on is one graph.
//!
//! A section's host code runs every time, which costs little, and gives the same commands as long as
//! sizes and addresses are the same; numbers that change from time to time travel as mail. So a graph
//! is found by comparing commands, and can never be stale.
#![allow(unsafe_code)]

use std::boxed::Box;
use std::sync::Arc;
use std::vec::Vec;

use super::command::Command;
use super::driver::{Driver, Event, Graph};
use super::error::CudaError;
use super::memory::Memory;
use crate::remote::WORD;

/// Words of mail a section may have: labels, indices, ends of scales, tokens to keep.
const PARAMETER_WORDS: usize = 1 << 20;

/// Mail begins at multiples of this many bytes.
const PARAMETERS_ALIGNED: usize = 16;

/// The most graphs kept; the one unused for longest goes first.
const MAX_GRAPHS: usize = 256;

/// A section of fewer commands gains nothing from being a graph.
const MIN_COMMANDS: usize = 4;

pub(super) struct Queue {
    /// First, so that graphs go before the driver they belong to.
    seen: Vec<Seen>,
    driver: Arc<dyn Driver>,
    /// Whether sections become graphs; not after the first that could not.
    graphs: bool,
    /// Told of that.
    warn: fn(&str),
    parameter_buffer: Memory,
    /// Where the next mail goes when no section is noted.
    next_parameters: usize,
    section: Option<Section>,
    /// Counts sections, to tell which was used last.
    clock: u64,
    /// A mark after every kernel while they are timed.
    profile: Option<Vec<(&'static str, Event)>>,
}

/// The commands of a section.
#[derive(Default)]
struct Section {
    commands: Vec<Command>,
    parameters: Vec<u8>,
}

/// A section that was asked for before.
struct Seen {
    commands: Vec<Command>,
    parameters: usize,
    graph: Option<Box<dyn Graph>>,
    used: u64,
}

impl Queue {
    pub(super) fn new(
        driver: Arc<dyn Driver>,
        graphs: bool,
        warn: fn(&str),
    ) -> Result<Self, CudaError> {
        let parameter_buffer = Memory::new(Arc::clone(&driver), PARAMETER_WORDS)?;
        Ok(Self {
            driver,
            graphs,
            warn,
            parameter_buffer,
            next_parameters: 0,
            section: None,
            seen: Vec::new(),
            clock: 0,
            profile: None,
        })
    }

    /// Asks for a command, now or with its section.
    ///
    /// The caller has checked the lengths of the runs at its addresses.
    pub(super) fn enqueue(&mut self, command: Command) -> Result<(), CudaError> {
        match &mut self.section {
            Some(section) => {
                section.commands.push(command);
                return Ok(());
            }
            // SAFETY: operations check the lengths of their runs against their sizes before they ask
            // (`Dims::check`), runs are borrowed from memory that waits for the GPU before it is
            // freed, and kernels stay inside those sizes, which the emulator's tests show.
            None => unsafe { self.driver.enqueue(&command)? },
        }
        if let (Some(events), Some(name)) = (&mut self.profile, command.kernel()) {
            events.push((name, self.driver.record_event()?));
        }
        Ok(())
    }

    /// Begins to time kernels; sections are not noted meanwhile.
    pub(super) fn begin_profile(&mut self) -> Result<(), CudaError> {
        self.profile = Some(Vec::from([("", self.driver.record_event()?)]));
        Ok(())
    }

    /// Ends it: each kernel's name and a mark after it, the first one before them all.
    pub(super) fn end_profile(&mut self) -> Vec<(&'static str, Event)> {
        self.profile.take().unwrap_or_default()
    }

    /// Sends bytes to the GPU; returns their address there, good until the next section or until as
    /// much mail was sent as the mailbox holds.
    ///
    /// # Panics
    /// If they do not fit the mailbox.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<u64, CudaError> {
        let capacity = PARAMETER_WORDS * WORD as usize;
        let place = match &mut self.section {
            Some(section) => {
                let place = section.parameters.len();
                section.parameters.extend_from_slice(bytes);
                section
                    .parameters
                    .resize(section.parameters.len().next_multiple_of(PARAMETERS_ALIGNED), 0);
                assert!(
                    section.parameters.len() <= capacity,
                    "a section's mail is beyond {capacity} bytes"
                );
                place
            }
            None => {
                assert!(
                    bytes.len() <= capacity,
                    "mail of {} bytes is beyond {capacity}",
                    bytes.len()
                );
                if self.next_parameters + bytes.len() > capacity {
                    self.next_parameters = 0;
                }
                let place = self.next_parameters;
                self.next_parameters = (place + bytes.len()).next_multiple_of(PARAMETERS_ALIGNED);
                // In the order of the stream: kernels that read the old contents come first.
                self.driver.upload(self.parameter_buffer.address() + place as u64, bytes)?;
                place
            }
        };
        Ok(self.parameter_buffer.address() + place as u64)
    }

    /// Whether a section is being noted.
    pub(super) fn in_capture(&self) -> bool {
        self.section.is_some()
    }

    /// Begins to note a section; false if it is to run one by one, or within another.
    pub(super) fn begin(&mut self) -> bool {
        let begins = self.graphs && self.section.is_none() && self.profile.is_none();
        if begins {
            self.section = Some(Section::default());
        }
        begins
    }

    /// Forgets the section begun.
    pub(super) fn forget(&mut self) {
        self.section = None;
    }

    /// Ends the section begun and asks for all of it.
    pub(super) fn end(&mut self) -> Result<(), CudaError> {
        let Section { commands, parameters } = self.section.take().unwrap_or_default();
        self.clock += 1;
        self.next_parameters = 0;
        let found = self
            .seen
            .iter_mut()
            .find(|seen| seen.parameters == parameters.len() && seen.commands == commands);
        if let Some(seen) = found {
            seen.used = self.clock;
            if seen.graph.is_none() {
                // SAFETY: as in `enqueue`; memory with its address in a graph may be freed, but then the
                // graph is found only for commands that name memory allocated anew at that place.
                let graph = unsafe {
                    self.driver.capture(
                        &seen.commands,
                        self.parameter_buffer.address(),
                        parameters.len(),
                    )
                };
                match graph {
                    Ok(graph) => seen.graph = Some(graph),
                    // A fault of the GPU itself shows again with the first command.
                    Err(error) => {
                        self.graphs = false;
                        (self.warn)(&std::format!(
                            "the GPU is asked kernel by kernel, which takes longer: a graph of \
                             them cannot be made: {error}"
                        ));
                    }
                }
            }
            if let Some(graph) = &mut seen.graph {
                return graph.launch(&parameters);
            }
        }
        if !parameters.is_empty() {
            self.driver.upload(self.parameter_buffer.address(), &parameters)?;
        }
        for command in &commands {
            // SAFETY: as in `enqueue`.
            unsafe { self.driver.enqueue(command)? };
        }
        if !self.graphs {
            self.seen.clear();
        } else if commands.len() >= MIN_COMMANDS {
            if self.seen.len() == MAX_GRAPHS {
                let oldest = self.seen.iter().enumerate().min_by_key(|(_, seen)| seen.used);
                let oldest = oldest.map_or(0, |(number, _)| number);
                self.seen.swap_remove(oldest);
            }
            self.seen.push(Seen {
                commands,
                parameters: parameters.len(),
                graph: None,
                used: self.clock,
            });
        }
        Ok(())
    }
}
