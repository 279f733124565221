//! Jobs: order, cancel, clients that vanish, the end of the server.

use core::time::Duration;
use std::thread::sleep;
use std::time::Instant;

use serde_json::{Value, json};
use var_serve::Limits;

use crate::client::Served;

/// So many images that they take a while.
fn long() -> Value {
    json!({ "classes": [3], "count": 64, "seed": 1, "more_smooth": true })
}

fn short() -> Value {
    json!({ "classes": [3], "seed": 1 })
}

/// Waits until a job has this state.
#[track_caller]
fn wait_for(served: &Served, id: &str, state: &str) -> Value {
    let start = Instant::now();
    loop {
        let job = served.job(id);
        if job["state"] == state {
            return job;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{job}");
        sleep(Duration::from_millis(5));
    }
}

#[test]
fn queue_is_worked_off_in_order_and_a_full_one_is_told_with_both_numbers() {
    let mut limits = Limits::default();
    limits.queue = 2;
    let served = Served::within(limits);
    let first = served.submit("sample", &long());
    wait_for(&served, &first, "running");
    let [second, third] = [(); 2].map(|()| served.submit("sample", &short()));
    assert_eq!(served.job(&third)["place"], 2);
    let full = served.post("/api/sample", &short().to_string());
    full.assert_error(429, "queue_full", "2 jobs wait, the queue holds 2");
    let error = &full.json()["error"];
    assert_eq!((&error["queue"], &error["limit"]), (&json!(2), &json!(2)));
    assert!(full.header("retry-after").is_some());
    let canceled = served.post(&format!("/api/jobs/{first}/cancel"), "").json();
    assert_eq!(canceled["state"], "running");
    wait_for(&served, &third, "done");
    assert_eq!(served.job(&second)["state"], "done");
    assert_eq!(wait_for(&served, &first, "canceled")["wanted"], 64);
}

#[test]
fn canceled_job_keeps_the_images_of_the_batches_before() {
    let served = Served::new();
    let id = served.submit("sample", &long());
    let mut events = served.listen(&id);
    events.find(|event| event.name == "image").unwrap();
    served.post(&format!("/api/jobs/{id}/cancel"), "");
    let last = events.last().unwrap();
    assert_eq!(last.name, "canceled");
    let images = last.data["images"].as_u64().unwrap();
    assert!((1..64).contains(&images), "{images}");
    let job = served.job(&id);
    assert_eq!(job["images"].as_array().unwrap().len() as u64, images);
    assert_eq!(served.get(&format!("/api/jobs/{id}/images/0")).status, 200);
    let none = served.get(&format!("/api/jobs/{id}/images/63"));
    none.assert_error(404, "unknown_image", "no image 63");
}

#[test]
fn vanished_client_ends_its_job_and_another_does_not() {
    let served = Served::new();
    let running = served.submit("sample", &long());
    let waiting = served.submit("sample", &short());
    let mut events = served.listen(&running);
    events.find(|event| event.name == "scale").unwrap();
    drop(served.listen(&waiting));
    wait_for(&served, &waiting, "canceled");
    let second = served.listen(&running);
    drop(events);
    sleep(Duration::from_millis(100));
    assert_eq!(served.job(&running)["state"], "running", "another one listens");
    drop(second);
    wait_for(&served, &running, "canceled");
    let mut body = short();
    body["keep"] = true.into();
    let kept = served.submit("sample", &body);
    drop(served.listen(&kept));
    wait_for(&served, &kept, "done");
}

#[test]
fn late_listeners_get_all_events_or_those_after_the_last_they_had() {
    let served = Served::new();
    let id = served.submit("sample", &short());
    let all: Vec<_> = served.listen(&id).collect();
    let again: Vec<_> = served.listen(&id).collect();
    assert_eq!(all.len(), again.len());
    let ask = |last: usize| {
        let head = format!("GET /api/jobs/{id}/events HTTP/1.1\r\nLast-Event-ID: {last}\r\n");
        let mut text = String::new();
        std::io::Read::read_to_string(&mut served.send(&head, b""), &mut text).unwrap();
        text
    };
    let rest = ask(all.len() - 2);
    assert!(rest.contains("event: done") && !rest.contains("event: image"), "{rest}");
    assert!(ask(all.len() - 1).starts_with("HTTP/1.1 204 "));
    assert!(ask(usize::MAX).starts_with("HTTP/1.1 204 "));
    let unknown = served.get("/api/jobs/0123456789abcdef/events");
    unknown.assert_error(404, "unknown_job", "0123456789abcdef");
}

#[test]
fn end_of_the_server_stops_the_running_job_and_closes_streams() {
    let mut served = Served::new();
    let running = served.submit("sample", &long());
    let waiting = served.submit("sample", &short());
    let mut events = served.listen(&running);
    events.find(|event| event.name == "scale").unwrap();
    let start = Instant::now();
    let others = served.listen(&waiting);
    served.end();
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert_eq!(events.last().unwrap().name, "canceled");
    assert_eq!(others.last().unwrap().name, "canceled");
}
