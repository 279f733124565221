//! Ranks that do not connect, unknown connections, and ranks that fall silent. The collectives are tested with
//! those of other ranks, in `tests/ranks`.

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use super::*;

/// A rendezvous of this test alone.
fn rendezvous(patience_s: u64) -> Rendezvous {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let job = format!("tcp-{}-{count}", std::process::id());
    let patience = Duration::from_secs(patience_s);
    Rendezvous { patience, ..Rendezvous::on_this_machine(&job) }
}

fn meet(rank: usize, size: usize, rendezvous: &Rendezvous) -> Result<Tcp, ProcessGroupError> {
    meet_with_lines(rank, size, rendezvous, &|_| ())
}

fn meet_with_lines(
    rank: usize,
    size: usize,
    rendezvous: &Rendezvous,
    note: &dyn Fn(&str),
) -> Result<Tcp, ProcessGroupError> {
    Tcp::meet_as(rank, size, rendezvous, HeartbeatConfig::default(), note)
}

/// Outcome of each of `ranks` (their number, of how many) at a rendezvous.
fn outcomes(rendezvous: &Rendezvous, ranks: &[(usize, usize)]) -> Vec<Result<(), String>> {
    thread::scope(|scope| {
        let come = |&(rank, size)| {
            scope.spawn(move || {
                let ranks = meet(rank, size, rendezvous).map_err(|error| error.to_string())?;
                ranks.barrier().map_err(|error| error.to_string())
            })
        };
        let threads = Vec::from_iter(ranks.iter().map(come));
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// A connection to the rank that listens.
fn connection(rendezvous: &Rendezvous) -> TcpStream {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        let mut ports = rendezvous.ports.iter();
        let found = ports.find_map(|port| TcpStream::connect((&*rendezvous.host, *port)).ok());
        if let Some(stream) = found {
            return stream;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("nobody listens");
}

#[test]
fn missing_ranks_are_named_on_all_ranks() {
    let outcomes = outcomes(&rendezvous(1), &[(0, 4), (2, 4)]);
    let text = "waited 1 s for 4 ranks: 0, 2 came, 1, 3 did not";
    assert_eq!(outcomes[0], Err(text.to_owned()));
    assert_eq!(outcomes[1], Err(format!("rank 0 refuses this rank: {text}")));
}

#[test]
fn ranks_without_rank_0_give_up() {
    let rendezvous = rendezvous(1);
    let [outcome] = &outcomes(&rendezvous, &[(1, 2)])[..] else { panic!() };
    let (first, last) = (rendezvous.ports[0], rendezvous.ports[7]);
    let text = format!("waited 1 s for rank 0 at 127.0.0.1, ports {first} to {last}: ");
    assert!(outcome.as_ref().unwrap_err().starts_with(&text), "{outcome:?}");
}

#[test]
fn ranks_that_come_late_are_waited_for() {
    let rendezvous = &rendezvous(60);
    thread::scope(|scope| {
        for rank in 0..3 {
            scope.spawn(move || {
                thread::sleep(Duration::from_millis([300, 0, 600][rank]));
                meet(rank, 3, rendezvous).unwrap().barrier().unwrap();
            });
        }
    });
}

#[test]
fn rank_of_another_size_is_turned_away_and_its_place_stays_free() {
    let rendezvous = &rendezvous(60);
    let lines = Mutex::new(Vec::new());
    let note = |line: &str| lines.lock().unwrap().push(line.to_owned());
    thread::scope(|scope| {
        let root = scope.spawn(|| meet_with_lines(0, 2, rendezvous, &note).map(|r| r.barrier()));
        let error = meet(1, 3, rendezvous).err().unwrap().to_string();
        assert_eq!(error, "rank 0 refuses this rank: this run has 2 ranks, it is of 3");
        let error = meet(7, 2, rendezvous).err().unwrap().to_string();
        assert_eq!(error, "rank 0 refuses this rank: rank 0 waits for no rank 7");
        meet(1, 2, rendezvous).unwrap().barrier().unwrap();
        root.join().unwrap().unwrap().unwrap();
    });
    let lines = lines.into_inner().unwrap();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("turned away 127.0.0.1:"), "{lines:?}");
    assert!(
        lines[0].ends_with(": says it is rank 1: this run has 2 ranks, it is of 3"),
        "{lines:?}"
    );
}

#[test]
fn ranks_that_could_not_take_part_are_named_where_one_is_missing() {
    let outcomes = outcomes(&rendezvous(2), &[(0, 2), (1, 3)]);
    let text = outcomes[0].as_ref().unwrap_err();
    assert!(
        text.starts_with("waited 2 s for 2 ranks: 0 came, 1 did not; turned away: rank 1 from ")
    );
    assert!(text.ends_with(": this run has 2 ranks, it is of 3"), "{text}");
}

#[test]
fn second_rank_of_a_number_is_refused() {
    let rendezvous = &rendezvous(60);
    thread::scope(|scope| {
        let root = scope.spawn(|| meet(0, 3, rendezvous).map(|ranks| ranks.barrier()));
        let ones =
            [0, 1].map(|_| scope.spawn(|| meet(1, 3, rendezvous).map(|ranks| ranks.barrier())));
        while !ones.iter().any(|one| one.is_finished()) {
            thread::sleep(Duration::from_millis(5));
        }
        let two = scope.spawn(|| meet(2, 3, rendezvous).map(|ranks| ranks.barrier()));
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
fn rank_that_left_is_told_where_none_may_be_missing() {
    let rendezvous = &rendezvous(60);
    thread::scope(|scope| {
        let other = scope.spawn(|| drop(meet(1, 2, rendezvous).unwrap()));
        let root = meet(0, 2, rendezvous).unwrap();
        other.join().unwrap();
        let start = Instant::now();
        while root.check_none_left().is_ok() {
            assert!(start.elapsed() < Duration::from_secs(30), "nobody left");
            thread::sleep(Duration::from_millis(5));
        }
        let error = root.check_none_left().unwrap_err();
        assert_eq!(error.to_string(), "rank 1 has left the run");
        root.check().unwrap();
    });
}

#[test]
fn place_of_a_rank_that_died_is_free() {
    let rendezvous = &rendezvous(60);
    thread::scope(|scope| {
        let come =
            |rank| scope.spawn(move || meet(rank, 3, rendezvous).unwrap().barrier().unwrap());
        let root = come(0);
        let host =
            connector::PeerAddress { rank: 0, machine: &rendezvous.host, ports: &rendezvous.ports };
        let purpose = wire::Purpose::Signals;
        let mut handshake = |_| Ok(wire::Handshake { rank: 1, size: 3, purpose, port: 1 });
        let start = Instant::now();
        drop(
            connector::connect(
                &host,
                &rendezvous.key(),
                &mut handshake,
                start,
                rendezvous.patience,
            )
            .unwrap(),
        );
        for rank in [come(1), come(2), root] {
            rank.join().unwrap();
        }
    });
}

/// Audit 12: whatever comes to the port, the run begins when its ranks have come.
#[test]
fn unknown_connections_are_refused_with_a_line_and_hold_up_no_rank() {
    let rendezvous = &rendezvous(60);
    let lines = Mutex::new(Vec::new());
    let note = |line: &str| lines.lock().unwrap().push(line.to_owned());
    let start = Instant::now();
    thread::scope(|scope| {
        let root =
            scope.spawn(|| meet_with_lines(0, 2, rendezvous, &note).unwrap().barrier().unwrap());
        let silent = connection(rendezvous);
        // A slow one: it begins as a rank does.
        let mut slow = connection(rendezvous);
        slow.write_all(b"varrn").unwrap();
        // A scan of ports.
        drop(connection(rendezvous));
        let garbage: [&[u8]; 4] = [
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"SSH-2.0-OpenSSH_9.2p1\r\n",
            &[0xff; 4096],
            // Another version.
            &[&b"varrnk\x01\0"[..], &[0; 32]].concat(),
        ];
        for bytes in garbage {
            let mut unknown = connection(rendezvous);
            unknown.write_all(bytes).unwrap();
            let mut answer = Vec::new();
            // The connection is closed, or reset as not all was read.
            let _ = unknown.read_to_end(&mut answer);
            assert!(answer.is_empty() || bytes.starts_with(b"varrnk"), "{answer:?}");
        }
        // As a rank begins, then a message of 4 GB.
        let mut long = connection(rendezvous);
        long.write_all(&[&b"varrnk\x02\0"[..], &[0; 32], &[0xff; 4]].concat()).unwrap();
        let _ = long.read_to_end(&mut Vec::new());
        for other in [
            Rendezvous { job: "another".to_owned(), ..rendezvous.clone() },
            Rendezvous { secret: "another secret!!".into(), ..rendezvous.clone() },
        ] {
            let other = Rendezvous { patience: Duration::from_millis(300), ..other };
            let error = meet(1, 2, &other).err().unwrap().to_string();
            assert!(
                error.ends_with("is of another job or has another VAR_RANKS_SECRET"),
                "{error}"
            );
        }
        meet(1, 2, rendezvous).unwrap().barrier().unwrap();
        root.join().unwrap();
        drop((silent, slow));
    });
    // The silent ones have five seconds; the ranks do not wait for them.
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    let lines = lines.into_inner().unwrap();
    let told = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    assert_eq!(told("is no rank of var"), 3, "{lines:?}");
    for text in [
        "hung up without a greeting",
        "speaks version 1, this rank 2",
        "sends a message of 4294967295 bytes, more than 1024",
        "is of another job or has another VAR_RANKS_SECRET",
    ] {
        assert!(told(text) > 0, "{text}: {lines:?}");
    }
    assert!(lines.iter().all(|line| !line.contains("rank 1")), "{lines:?}");
}

/// More connections than are asked at once do not shut a rank out.
#[test]
fn crowd_of_silent_strangers_delays_a_rank_by_seconds_at_most() {
    let rendezvous = &rendezvous(60);
    let start = Instant::now();
    thread::scope(|scope| {
        let lines = Mutex::new(0);
        let root = scope.spawn(move || {
            let note = |_: &str| *lines.lock().unwrap() += 1;
            meet_with_lines(0, 2, rendezvous, &note).unwrap().barrier().unwrap();
            assert!(*lines.lock().unwrap() <= 17, "too many lines");
        });
        let crowd = Vec::from_iter((0..100).map(|_| connection(rendezvous)));
        meet(1, 2, rendezvous).unwrap().barrier().unwrap();
        root.join().unwrap();
        drop(crowd);
    });
    assert!(start.elapsed() < Duration::from_secs(40), "{:?}", start.elapsed());
}

/// A machine's own name is often 127.0.1.1 in its list of hosts.
#[test]
fn name_that_is_a_loopback_address_is_told() {
    // The same address, to the system alone.
    let rendezvous = Rendezvous { host: "127.1".to_owned(), ..rendezvous(1) };
    let lines = Mutex::new(Vec::new());
    let note = |line: &str| lines.lock().unwrap().push(line.to_owned());
    assert!(meet_with_lines(0, 2, &rendezvous, &note).is_err());
    let lines = lines.into_inner().unwrap();
    let told = "127.1 is 127.0.0.1 on this machine: no rank of another machine can reach it";
    assert!(lines.len() == 1 && lines[0].starts_with(told), "{lines:?}");
}

/// After the start nobody listens any more.
#[test]
fn port_is_closed_once_all_have_come() {
    let rendezvous = &rendezvous(60);
    thread::scope(|scope| {
        let root = scope.spawn(|| meet(0, 2, rendezvous).unwrap());
        let other = meet(1, 2, rendezvous).unwrap();
        let root = root.join().unwrap();
        let find = |port: &u16| TcpStream::connect((&*rendezvous.host, *port)).is_ok();
        assert!(!rendezvous.ports.iter().any(find), "a port is open");
        drop((root, other));
    });
}

#[test]
fn port_that_is_taken_is_passed_over() {
    let rendezvous = rendezvous(60);
    let Ok(taken) = TcpListener::bind((&*rendezvous.host, rendezvous.ports[0])) else {
        // It is taken, by somebody else.
        assert_eq!(outcomes(&rendezvous, &[(0, 2), (1, 2)]), [Ok(()), Ok(())]);
        return;
    };
    thread::spawn(move || taken.incoming().for_each(drop));
    assert_eq!(outcomes(&rendezvous, &[(0, 2), (1, 2)]), [Ok(()), Ok(())]);
}

#[test]
fn given_port_that_is_taken_is_an_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let rendezvous = Rendezvous { ports: vec![port], ..rendezvous(1) };
    let error = meet(0, 2, &rendezvous).err().unwrap();
    assert_eq!(error.to_string(), format!("rank 0 cannot listen at 127.0.0.1, port {port}"));
    assert!(core::error::Error::source(&error).is_some());
}

#[test]
fn rank_that_falls_silent_is_given_up_by_all() {
    let rendezvous = &rendezvous(60);
    let silence = Duration::from_secs(1);
    let never = Duration::from_secs(3600);
    let start = Instant::now();
    thread::scope(|scope| {
        let threads = Vec::from_iter((0..3).map(|rank| {
            scope.spawn(move || {
                let lively = HeartbeatConfig { interval: silence / 10, silence };
                let silent = HeartbeatConfig { interval: never, silence: never };
                let config = if rank == 1 { silent } else { lively };
                let ranks = Tcp::meet_as(rank, 3, rendezvous, config, &|_| ()).unwrap();
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
