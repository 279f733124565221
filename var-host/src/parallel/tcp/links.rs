//! Calls over connections between all ranks.
//!
//! A sum of n values over r ranks goes in two halves: each rank is sent its r-th part of the values
//! by all others and adds them up in the order of ranks, then sends the sum to all. So every rank
//! sends and receives 2 n (r − 1) / r values at the same time, nobody is a bottleneck, and each
//! value is added up in one place.

use core::ops::AddAssign;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, Scope};

use bytemuck::{Pod, cast_slice, cast_slice_mut};

use super::super::call::{CollectiveCall, HEADER};

/// Element types of sums.
pub(super) trait LinkElement: Pod + AddAssign + Send + Sync {}
impl LinkElement for f32 {}
impl LinkElement for f64 {}

/// Bytes to one rank that are sent without a thread: so many fit into the buffers of a connection
/// even if nothing reads them yet.
const SMALL: usize = 8 << 10;

/// Values added up at a time, and sent on at once: few enough to be in a core's cache.
const CHUNK_BYTES: usize = 256 << 10;

/// The connections of one rank to all others.
pub(super) struct Links {
    pub(super) rank: usize,
    /// The other ranks, in their order.
    pub(super) peers: Vec<Peer>,
}

/// Another rank.
pub(super) struct Peer {
    pub(super) rank: usize,
    pub(super) stream: TcpStream,
}

/// Why a call failed.
#[derive(Debug)]
pub(super) enum LinkFault {
    Connection { rank: usize, error: io::Error },
    Mismatch { rank: usize, theirs: CollectiveCall },
    Thread(io::Error),
}

impl Peer {
    fn send(&self, bytes: &[u8]) -> Result<(), LinkFault> {
        (&self.stream).write_all(bytes).map_err(|error| self.fault(error))
    }

    fn receive(&self, bytes: &mut [u8]) -> Result<(), LinkFault> {
        (&self.stream).read_exact(bytes).map_err(|error| self.fault(error))
    }

    /// The head of the call this rank is at, which must be the same call.
    fn receive_header(&self, own: &CollectiveCall) -> Result<CollectiveCall, LinkFault> {
        let mut bytes = [0; HEADER];
        self.receive(&mut bytes)?;
        let no_call = || self.fault(io::Error::new(io::ErrorKind::InvalidData, "it sent no call"));
        let theirs = CollectiveCall::from_bytes(&bytes).ok_or_else(no_call)?;
        if !theirs.agrees(own) {
            return Err(LinkFault::Mismatch { rank: self.rank, theirs });
        }
        Ok(theirs)
    }

    fn fault(&self, error: io::Error) -> LinkFault {
        LinkFault::Connection { rank: self.rank, error }
    }
}

impl Links {
    /// Sums `values` over the ranks.
    pub(super) fn sum<T: LinkElement>(
        &self,
        call: &CollectiveCall,
        values: &mut [T],
    ) -> Result<(), LinkFault> {
        let small = size_of_val(values) <= SMALL;
        let mut parts = parts(values, self.peers.len() + 1);
        let own = parts.remove(self.rank);
        if small { self.sum_small(call, own, parts) } else { self.sum_large(call, own, parts) }
    }

    fn sum_small<T: LinkElement>(
        &self,
        call: &CollectiveCall,
        own: &mut [T],
        parts: Vec<&mut [T]>,
    ) -> Result<(), LinkFault> {
        for (peer, part) in self.peers.iter().zip(&parts) {
            peer.send(&[&call.to_bytes(), cast_slice(part)].concat())?;
        }
        self.receive_headers(call)?;
        self.add_up(own, |_| ())?;
        for peer in &self.peers {
            peer.send(cast_slice(own))?;
        }
        for (peer, part) in self.peers.iter().zip(parts) {
            peer.receive(cast_slice_mut(part))?;
        }
        Ok(())
    }

    /// The same with a thread for each other rank that sends to it, so that no rank waits for one
    /// that waits for it.
    fn sum_large<T: LinkElement>(
        &self,
        call: &CollectiveCall,
        own: &mut [T],
        parts: Vec<&mut [T]>,
    ) -> Result<(), LinkFault> {
        let senders = Senders::new(self);
        thread::scope(|scope| {
            senders.note((|| {
                let mut sums: Vec<Sender<&[T]>> = Vec::new();
                let mut sent: Vec<Receiver<&mut [T]>> = Vec::new();
                for (peer, part) in self.peers.iter().zip(parts) {
                    let (sum, sums_to_send) = mpsc::channel::<&[T]>();
                    let (back, part_back) = mpsc::channel();
                    sums.push(sum);
                    sent.push(part_back);
                    senders.start(scope, move || {
                        peer.send(&call.to_bytes())?;
                        peer.send(cast_slice(part))?;
                        // The sum goes where the part was, now that it is sent.
                        let _ = back.send(part);
                        sums_to_send.iter().try_for_each(|sum| peer.send(cast_slice(sum)))
                    })?;
                }
                self.receive_headers(call)?;
                self.add_up(own, |sum| {
                    for to in &sums {
                        // A sender that is no more there has failed, and says why.
                        let _ = to.send(sum);
                    }
                })?;
                drop(sums);
                for (peer, part_back) in self.peers.iter().zip(sent) {
                    // As above.
                    let Ok(part) = part_back.recv() else { break };
                    peer.receive(cast_slice_mut(part))?;
                }
                Ok(())
            })());
        });
        senders.result()
    }

    /// Adds the others' values to this rank's in the order of ranks, a chunk at a time.
    fn add_up<'a, T: LinkElement>(
        &self,
        own: &'a mut [T],
        mut done: impl FnMut(&'a [T]),
    ) -> Result<(), LinkFault> {
        let chunk = CHUNK_BYTES / size_of::<T>();
        let (before, after) = self.peers.split_at(self.rank);
        let mut sum = vec![T::zeroed(); chunk.min(own.len())];
        let mut received = sum.clone();
        for own in own.chunks_mut(chunk) {
            let (sum, received) = (&mut sum[..own.len()], &mut received[..own.len()]);
            if let [first, others @ ..] = before {
                first.receive(cast_slice_mut(sum))?;
                for peer in others {
                    peer.receive(cast_slice_mut(received))?;
                    add(sum, received);
                }
                add(sum, own);
                own.copy_from_slice(sum);
            }
            for peer in after {
                peer.receive(cast_slice_mut(received))?;
                add(own, received);
            }
            done(own);
        }
        Ok(())
    }

    /// Rank 0's bytes.
    pub(super) fn broadcast(
        &self,
        call: &CollectiveCall,
        bytes: &mut Vec<u8>,
    ) -> Result<(), LinkFault> {
        if self.rank != 0 {
            let root = &self.peers[0];
            let call = root.receive_header(call)?;
            return receive_bytes(root, call.length, bytes);
        }
        let call = CollectiveCall { length: bytes.len() as u64, ..*call };
        let send = |peer: &Peer| {
            peer.send(&call.to_bytes())?;
            peer.send(bytes)
        };
        if bytes.len() <= SMALL {
            return self.peers.iter().try_for_each(send);
        }
        let senders = Senders::new(self);
        thread::scope(|scope| {
            let mut peers = self.peers.iter();
            senders.note(peers.try_for_each(|peer| senders.start(scope, move || send(peer))));
        });
        senders.result()
    }

    /// Returns when all ranks are at this call.
    pub(super) fn barrier(&self, call: &CollectiveCall) -> Result<(), LinkFault> {
        for peer in &self.peers {
            peer.send(&call.to_bytes())?;
        }
        self.receive_headers(call)
    }

    fn receive_headers(&self, call: &CollectiveCall) -> Result<(), LinkFault> {
        self.peers.iter().try_for_each(|peer| peer.receive_header(call).map(drop))
    }

    /// Ends this rank's sends and receives.
    fn shut(&self) {
        for peer in &self.peers {
            let _ = peer.stream.shutdown(Shutdown::Both);
        }
    }
}

/// Sending threads of one call. The first fault among them, or of the thread that started them, ends
/// the work of all.
struct Senders<'a> {
    links: &'a Links,
    first: Mutex<Option<LinkFault>>,
}

impl<'a> Senders<'a> {
    fn new(links: &'a Links) -> Self {
        Self { links, first: Mutex::new(None) }
    }

    fn start<'scope, 'env>(
        &'scope self,
        scope: &'scope Scope<'scope, 'env>,
        work: impl FnOnce() -> Result<(), LinkFault> + Send + 'scope,
    ) -> Result<(), LinkFault> {
        let builder = thread::Builder::new().name("var-send".to_owned());
        let started = builder.spawn_scoped(scope, move || self.note(work()));
        started.map(drop).map_err(LinkFault::Thread)
    }

    fn note(&self, result: Result<(), LinkFault>) {
        if let Err(fault) = result {
            self.lock().get_or_insert(fault);
            self.links.shut();
        }
    }

    fn result(self) -> Result<(), LinkFault> {
        self.first.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    fn lock(&self) -> MutexGuard<'_, Option<LinkFault>> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Receives as many bytes as were announced. Memory for them is asked for as they come.
fn receive_bytes(peer: &Peer, length: u64, bytes: &mut Vec<u8>) -> Result<(), LinkFault> {
    bytes.clear();
    let received = (&peer.stream).take(length).read_to_end(bytes);
    match received {
        Ok(received) if received as u64 == length => Ok(()),
        Ok(_) => Err(peer.fault(io::ErrorKind::UnexpectedEof.into())),
        Err(error) => Err(peer.fault(error)),
    }
}

/// `values` in as many parts as there are ranks, of equal length up to one.
fn parts<T>(mut values: &mut [T], ranks: usize) -> Vec<&mut [T]> {
    let (each, longer) = (values.len() / ranks, values.len() % ranks);
    let lengths = (0..ranks).map(|rank| each + usize::from(rank < longer));
    Vec::from_iter(lengths.map(|length| {
        let (part, rest) = core::mem::take(&mut values).split_at_mut(length);
        values = rest;
        part
    }))
}

fn add<T: LinkElement>(to: &mut [T], values: &[T]) {
    for (to, value) in to.iter_mut().zip(values) {
        *to += *value;
    }
}
