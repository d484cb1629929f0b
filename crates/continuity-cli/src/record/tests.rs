use super::*;
use continuity_api::node::SetReport;
use continuity_field::{BackendId, BackendSample, Nanos, Samples, SetConfig, SetState, step};
use continuity_trace::{Body, Envelope, Header, Tick, digest};

/// What an agent logs: its own lines, and a record of so many ticks.
fn log(record: &str, family: u8, ticks: u64) -> Vec<String> {
    let (mut state, config) = (SetState::default(), SetConfig::default());
    let line = |number, body| {
        let set = "shop/checkout-http-1".to_owned();
        let record = record.to_owned();
        Envelope {
            record,
            set,
            family,
            number,
            body,
        }
        .to_string()
    };
    let header = Header::of("a test".to_owned(), &config, &state, Vec::new());
    let mut lines = vec![
        r#"{"level":"INFO","fields":{"message":"agent started"}}"#.to_owned(),
        line(0, Body::Trace(serde_json::to_string(&header).unwrap())),
    ];
    for number in 0..ticks {
        let mut backends = [BackendSample::new(BackendId(1)), BackendSample::new(BackendId(2))];
        for backend in &mut backends {
            (backend.attempts, backend.established, backend.answered) = (10, 10, 10);
            backend.turnaround[40] = 10;
        }
        let samples = Samples {
            interval: Nanos::from_millis(200),
            backends: &backends,
            advice: Default::default(),
            regression: Default::default(),
        };
        let now = Nanos::from_millis(1_000 + 200 * number);
        let mut tick = Tick::of(number, now, &samples);
        tick.decided = digest(step(&mut state, &samples, &config, now));
        lines.push(line(
            number + 1,
            Body::Trace(serde_json::to_string(&tick).unwrap()),
        ));
    }
    lines.push(line(ticks + 1, Body::End("its time is over".to_owned())));
    lines
}

fn gathered(lines: &[String]) -> Gathered {
    let mut gathered = Gathered::default();
    lines.iter().for_each(|line| gathered.take("r-1", "node-1", line));
    gathered
}

#[test]
fn a_record_is_put_together_from_the_log_and_decided_again() {
    let mut lines = log("r-1", 4, 20);
    lines.extend(log("r-0", 4, 3));
    lines.extend(log("r-1", 6, 5));
    let gathered = gathered(&lines);
    assert!(gathered.is_over(1) && !gathered.is_over(2));
    let verdicts: Vec<String> = gathered
        .lanes()
        .map(|(_, lane)| lane.verdict().to_string())
        .collect();
    assert_eq!(
        verdicts,
        [
            "20 ticks, each decided the same again; its time is over",
            "5 ticks, each decided the same again; its time is over"
        ]
    );
}

#[test]
fn a_line_that_was_lost_on_the_way_is_a_gap_that_is_said() {
    let mut lines = log("r-1", 4, 20);
    lines.remove(8);
    lines.pop();
    let gathered = gathered(&lines);
    assert!(!gathered.is_over(1), "no end was heard");
    let (_, lane) = gathered.lanes().next().unwrap();
    let verdict = lane.verdict();
    assert_eq!((verdict.ticks, verdict.gaps), (19, 1));
    assert!(
        verdict.to_string().contains("missing at 1 places; it broke off"),
        "{verdict}"
    );
}

#[test]
fn without_its_header_a_record_is_refused_and_not_guessed_at() {
    let mut lines = log("r-1", 4, 3);
    lines.remove(1);
    let gathered = gathered(&lines);
    let verdict = gathered.lanes().next().unwrap().1.verdict();
    assert!(
        !verdict.is_same() && verdict.to_string().starts_with("cannot be decided again"),
        "{verdict}"
    );
}

#[test]
fn files_are_written_one_a_lane_and_silent_nodes_are_named() {
    let directory = std::env::temp_dir().join(format!("continuity-record-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let nodes = ["node-1".to_owned(), "node-2".to_owned()];
    let recorded = keep(
        &gathered(&log("r-1", 4, 4)),
        "shop/checkout-http-1",
        &nodes,
        &directory,
    )
    .unwrap();
    assert_eq!(recorded.silent, ["node-2"]);
    assert!(!recorded.is_whole());
    let file = &recorded.files[0];
    assert!(
        file.path.ends_with("shop-checkout-http-1-node-1-v4.trace"),
        "{file:?}"
    );
    let (header, ticks) = continuity_trace::read(std::fs::File::open(&file.path).unwrap()).unwrap();
    assert_eq!((header.source.as_str(), ticks.len()), ("a test", 4));
    let told = text(&recorded);
    assert!(
        told.contains("4 ticks, each decided the same again") && told.contains("node-2 sent nothing"),
        "{told}"
    );
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn the_busiest_nodes_record_unless_others_are_named() {
    let view = |name: &str, offered| NodeView {
        name: name.to_owned(),
        report: Some(SetReport {
            offered_milli_per_second: offered,
            ..SetReport::default()
        }),
        ..NodeView::default()
    };
    let views = [view("a", 1), view("b", 9), view("c", 5), view("d", 7)];
    assert_eq!(choose(&[], &views).unwrap(), ["b", "d", "c"]);
    assert_eq!(choose(&["a".to_owned()], &views).unwrap(), ["a"]);
    let refused = |named: &[String], views: &[NodeView]| choose(named, views).unwrap_err().to_string();
    assert!(refused(&["x".to_owned()], &views).contains("no ContinuityNode x"));
    assert!(refused(&[], &[]).contains("name nodes with --node"));
    assert!(refused(&vec!["a".to_owned(); 9], &views).contains("at most 8 nodes"));
}
