//! Ranks that do not come together, strangers, and ranks that fall silent. The calls are tested with
//! those of other ranks, in `tests/ranks`.

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

use super::*;

/// A meeting nobody else comes to.
fn meeting(patience_s: u64) -> Meeting {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let job = format!("tcp-{}-{count}", std::process::id());
    let patience = Duration::from_secs(patience_s);
    Meeting { patience, ..Meeting::on_this_machine(&job) }
}

fn meet(rank: usize, size: usize, meeting: &Meeting) -> Result<Tcp, RanksError> {
    Tcp::meet_as(rank, size, meeting, Rhythm::default())
}

/// What becomes of each of `ranks` (their number, of how many) that come to a meeting.
fn outcomes(meeting: &Meeting, ranks: &[(usize, usize)]) -> Vec<Result<(), String>> {
    thread::scope(|scope| {
        let come = |&(rank, size)| {
            scope.spawn(move || {
                let ranks = meet(rank, size, meeting).map_err(|error| error.to_string())?;
                ranks.barrier().map_err(|error| error.to_string())
            })
        };
        let threads = Vec::from_iter(ranks.iter().map(come));
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// A connection to whoever listens for the ranks.
fn visitor(meeting: &Meeting) -> TcpStream {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        let mut ports = meeting.ports.iter();
        let found = ports.find_map(|port| TcpStream::connect((&*meeting.host, *port)).ok());
        if let Some(stream) = found {
            return stream;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("nobody listens");
}

#[test]
fn who_is_missing_is_named_on_all_ranks() {
    let outcomes = outcomes(&meeting(1), &[(0, 4), (2, 4)]);
    let text = "waited 1 s for 4 ranks: 0, 2 came, 1, 3 did not";
    assert_eq!(outcomes[0], Err(text.to_owned()));
    assert_eq!(outcomes[1], Err(format!("rank 0 refuses this rank: {text}")));
}

#[test]
fn without_rank_0_the_others_give_up() {
    let meeting = meeting(1);
    let [outcome] = &outcomes(&meeting, &[(1, 2)])[..] else { panic!() };
    let (first, last) = (meeting.ports[0], meeting.ports[7]);
    let text = format!("waited 1 s for rank 0 at 127.0.0.1, ports {first} to {last}: ");
    assert!(outcome.as_ref().unwrap_err().starts_with(&text), "{outcome:?}");
}

#[test]
fn ranks_that_come_late_are_waited_for() {
    let meeting = &meeting(60);
    thread::scope(|scope| {
        for rank in 0..3 {
            scope.spawn(move || {
                thread::sleep(Duration::from_millis([300, 0, 600][rank]));
                meet(rank, 3, meeting).unwrap().barrier().unwrap();
            });
        }
    });
}

#[test]
fn sizes_must_agree() {
    let outcomes = outcomes(&meeting(30), &[(0, 2), (1, 3)]);
    assert_eq!(outcomes[0], Err("rank 1 is of 3 ranks, this rank of 2".to_owned()));
    let text = "rank 0 refuses this rank: rank 0 is of 2 ranks, this rank of 3";
    assert_eq!(outcomes[1], Err(text.to_owned()));
}

#[test]
fn of_two_ranks_of_a_number_the_second_is_refused() {
    let meeting = &meeting(60);
    thread::scope(|scope| {
        let root = scope.spawn(|| meet(0, 3, meeting).map(|ranks| ranks.barrier()));
        let ones = [0, 1].map(|_| scope.spawn(|| meet(1, 3, meeting).map(|ranks| ranks.barrier())));
        while !ones.iter().any(|one| one.is_finished()) {
            thread::sleep(Duration::from_millis(5));
        }
        let two = scope.spawn(|| meet(2, 3, meeting).map(|ranks| ranks.barrier()));
        let ones = ones.map(|one| one.join().unwrap());
        let refused = Vec::from_iter(ones.iter().filter_map(|one| one.as_ref().err()));
        let [error] = &refused[..] else { panic!("{refused:?}") };
        let text = "rank 0 refuses this rank: there is a rank 1 already";
        assert_eq!(error.to_string(), text);
        root.join().unwrap().unwrap().unwrap();
        two.join().unwrap().unwrap().unwrap();
    });
}

#[test]
fn strangers_are_turned_away_and_hold_up_nobody() {
    let meeting = &meeting(60);
    let other =
        &Meeting { job: "another".to_owned(), patience: Duration::from_secs(1), ..meeting.clone() };
    thread::scope(|scope| {
        let root = scope.spawn(|| meet(0, 2, meeting).unwrap().barrier().unwrap());
        let silent = visitor(meeting);
        let mut browser = visitor(meeting);
        browser.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        // The connection is closed, or reset as not all was read: nothing is answered.
        let _ = browser.read_to_end(&mut answer);
        assert!(answer.is_empty());
        let mut later = visitor(meeting);
        later.write_all(b"varrnk\xff\xff\x02\0\0\0{}").unwrap();
        let _ = later.read_to_end(&mut answer);
        assert!(answer.is_empty());
        let error = meet(1, 2, other).err().unwrap().to_string();
        assert!(error.ends_with("is of another job"), "{error}");
        meet(1, 2, meeting).unwrap().barrier().unwrap();
        root.join().unwrap();
        drop(silent);
    });
}

#[test]
fn a_port_that_is_taken_is_passed_over() {
    let meeting = meeting(60);
    let Ok(taken) = TcpListener::bind((&*meeting.host, meeting.ports[0])) else {
        // It is taken, by somebody else.
        assert_eq!(outcomes(&meeting, &[(0, 2), (1, 2)]), [Ok(()), Ok(())]);
        return;
    };
    thread::spawn(move || taken.incoming().for_each(drop));
    assert_eq!(outcomes(&meeting, &[(0, 2), (1, 2)]), [Ok(()), Ok(())]);
}

#[test]
fn a_given_port_that_is_taken_is_an_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let meeting = Meeting { ports: vec![port], ..meeting(1) };
    let error = meet(0, 2, &meeting).err().unwrap();
    assert_eq!(error.to_string(), format!("rank 0 cannot listen at 127.0.0.1, port {port}"));
    assert!(core::error::Error::source(&error).is_some());
}

#[test]
fn a_rank_that_falls_silent_is_given_up_by_all() {
    let meeting = &meeting(60);
    let silence = Duration::from_secs(1);
    let never = Duration::from_secs(3600);
    let start = Instant::now();
    thread::scope(|scope| {
        let threads = Vec::from_iter((0..3).map(|rank| {
            scope.spawn(move || {
                let lively = Rhythm { interval: silence / 10, silence };
                let silent = Rhythm { interval: never, silence: never };
                let rhythm = if rank == 1 { silent } else { lively };
                let ranks = Tcp::meet_as(rank, 3, meeting, rhythm).unwrap();
                assert!(ranks.check().is_ok());
                // Rank 1 is stuck in something else until it is told.
                while rank == 1 && ranks.check().is_ok() {
                    thread::sleep(Duration::from_millis(5));
                }
                let error = ranks.sum(&mut vec![1.0; 100_000]).unwrap_err().to_string();
                assert_eq!(ranks.check().unwrap_err().to_string(), error);
                error
            })
        }));
        let errors = threads.into_iter().map(|thread| thread.join().unwrap());
        for (rank, error) in errors.enumerate() {
            let (own, other) = (rank, 2 - rank);
            let expected = if own == 1 {
                [
                    "rank 0 has given up this rank".to_owned(),
                    "rank 2 has given up this rank".to_owned(),
                ]
            } else {
                let reported = format!("rank 1 is gone, as rank {other} reports");
                ["rank 1 gave no sign of life for 1 s".to_owned(), reported]
            };
            assert!(expected.contains(&error), "rank {own}: {error}");
        }
    });
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}
