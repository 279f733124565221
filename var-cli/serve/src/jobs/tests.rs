//! The queue without a model or connections.

use super::*;

fn order() -> Order {
    Order { task: Task::Decode { tokens: Vec::new(), label: None }, keep: false }
}

fn jobs(queue: usize) -> Arc<Jobs> {
    Arc::new(Jobs::new(Limits { queue, finished_jobs: 2, ..Limits::default() }))
}

fn submit(jobs: &Jobs) -> JobId {
    let answer = jobs.submit(Command::Decode, order()).unwrap();
    answer["id"].as_str().unwrap().parse().unwrap()
}

fn names(jobs: &Jobs, id: JobId) -> Vec<String> {
    let inner = jobs.lock();
    let told = |event: &Arc<Event>| format!("{} {}", event.name, event.data);
    inner.jobs[&id].events.iter().map(told).collect()
}

#[test]
fn queue_keeps_the_order_and_tells_places() {
    let jobs = jobs(3);
    let [first, second, third] = [(); 3].map(|()| submit(&jobs));
    let full = jobs.submit(Command::Decode, order()).unwrap_err();
    assert_eq!(
        (full.to_json()["queue"].clone(), full.to_json()["limit"].clone()),
        (3.into(), 3.into())
    );
    assert_eq!(jobs.start_next().unwrap().id, first);
    assert_eq!(jobs.cancel(second), Some(State::Canceled));
    jobs.finish(first, Outcome::Done, &Value::Null);
    assert_eq!(jobs.start_next().unwrap().id, third);
    let places =
        [r#"queued {"place":3}"#, r#"queued {"place":2}"#, r#"queued {"place":1}"#, "started {}"];
    assert_eq!(names(&jobs, third), places);
    assert_eq!(names(&jobs, second)[2..], [r#"canceled {"images":0}"#]);
}

#[test]
fn job_is_canceled_when_its_last_listener_goes_unless_it_is_kept() {
    let jobs = jobs(4);
    let [running, waiting] = [(); 2].map(|()| submit(&jobs));
    let started = jobs.start_next().unwrap();
    let (one, two) = (Listener::new(&jobs, running, 0), Listener::new(&jobs, running, 0));
    drop(one);
    assert!(!started.interrupt.is_raised(), "another one listens");
    drop(two);
    assert!(started.interrupt.is_raised());
    drop(Listener::new(&jobs, waiting, 0));
    assert_eq!(jobs.get(waiting).unwrap()["state"], "canceled");
    let kept = jobs.submit(Command::Decode, Order { keep: true, ..order() }).unwrap();
    let kept = kept["id"].as_str().unwrap().parse().unwrap();
    drop(Listener::new(&jobs, kept, 0));
    assert_eq!(jobs.get(kept).unwrap()["state"], "queued");
}

#[test]
fn jobs_age_out_oldest_first() {
    let jobs = jobs(8);
    let all = [(); 4].map(|()| submit(&jobs));
    for id in all {
        jobs.start_next().unwrap();
        jobs.finish(id, Outcome::Done, &Value::Null);
    }
    let there = all.map(|id| jobs.get(id).is_some());
    assert_eq!(there, [false, false, true, true]);
}

#[test]
fn jobs_are_refused_and_canceled_at_the_end() {
    let jobs = jobs(8);
    let [running, waiting] = [(); 2].map(|()| submit(&jobs));
    let started = jobs.start_next().unwrap();
    jobs.end();
    assert!(started.interrupt.is_raised() && jobs.start_next().is_none());
    assert_eq!(jobs.get(waiting).unwrap()["state"], "canceled");
    assert_eq!(jobs.submit(Command::Decode, order()).unwrap_err().kind, Kind::Ending);
    jobs.finish(running, Outcome::Canceled, &Value::Null);
    assert_eq!(jobs.get(running).unwrap()["state"], "canceled");
}
