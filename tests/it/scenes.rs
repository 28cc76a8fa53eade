//! Runs the helper `scenario` in a process of its own, with a time limit, and reads what it recorded.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tracewell::control::EnableRequest;
use tracewell_reader::{Filter, Item, Summary};
use tracewell_schema::Value;
use tracewell_tests::{Place, text_of};

/// An event as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) pid: u32,
    pub(crate) tid: u32,
    pub(crate) name: String,
    /// Zero if the event has no lane.
    pub(crate) lane: u32,
    pub(crate) number: u64,
    pub(crate) time: i64,
}

/// A process of the trace.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) component: String,
    pub(crate) uuid: [u8; 16],
    pub(crate) parent: [u8; 16],
    pub(crate) is_alive: bool,
}

/// Everything of a trace.
pub(crate) struct Read {
    pub(crate) events: Vec<Seen>,
    pub(crate) processes: Vec<Process>,
    pub(crate) summary: Summary,
    /// Losses that the stream tells.
    pub(crate) told: u64,
}

impl Read {
    pub(crate) fn of(place: &Place) -> Self {
        Self::of_trace(&place.trace())
    }

    pub(crate) fn of_trace(trace: &tracewell_reader::Trace) -> Self {
        let (mut events, mut told) = (Vec::new(), 0);
        let summary = trace
            .read(&Filter::default(), |item| {
                match item {
                    Item::Event(event) => {
                        let number = |name| match event.values.get(name).map(|f| f.value) {
                            Some(Value::U(n)) => n,
                            _ => 0,
                        };
                        let (lane, n) = (number("lane") as u32, number("number"));
                        if event.schema.name == "custom.numbered" {
                            let Some(Value::Str(text)) = event.values.get("text").map(|f| f.value) else {
                                panic!("no text")
                            };
                            let expected = if lane < 100 { text_of(n) } else { String::new() };
                            assert_eq!(text.bytes, expected.as_bytes(), "a torn event");
                        }
                        events.push(Seen {
                            pid: event.process.identity.pid,
                            tid: event.tid,
                            name: event.schema.name.clone(),
                            lane,
                            number: n,
                            time: event.time,
                        });
                    }
                    Item::Lost { counts, .. } => told += counts.total(),
                    _ => {}
                }
                Ok::<(), std::io::Error>(())
            })
            .unwrap();
        let processes = trace
            .processes()
            .iter()
            .map(|process| Process {
                pid: process.identity.pid,
                component: process.identity.component.clone(),
                uuid: process.identity.process_uuid,
                parent: process.identity.parent_uuid,
                is_alive: process.is_alive,
            })
            .collect();
        Self { events, processes, summary, told }
    }

    /// The numbers of a lane, in the order in which the reader gives them.
    pub(crate) fn lane(&self, lane: u32) -> Vec<u64> {
        self.events
            .iter()
            .filter(|e| e.lane == lane && e.name == "custom.numbered")
            .map(|e| e.number)
            .collect()
    }

    /// The one process that emitted to a lane.
    pub(crate) fn pid_of(&self, lane: u32) -> u32 {
        let mut pids: Vec<_> = self.events.iter().filter(|e| e.lane == lane).map(|e| e.pid).collect();
        pids.dedup();
        assert_eq!(pids.len(), 1, "lane {lane} is of processes {pids:?}");
        pids[0]
    }

    /// No damage, no hole, and every ring adds up.
    #[track_caller]
    pub(crate) fn assert_sound(&self) {
        let s = &self.summary;
        let is_sound = s.damaged.is_empty() && s.law.is_empty() && s.missing == 0 && s.duplicates == 0;
        assert!(is_sound, "{s:?}");
    }

    /// As `assert_sound`; delivered and lost make up what was attempted, and the losses stand in the stream too.
    #[track_caller]
    pub(crate) fn assert_all_of(&self, attempts: u64) {
        self.assert_sound();
        let (events, lost) = (self.events.len() as u64, self.summary.lost_total());
        assert_eq!(events + lost, attempts, "{events} and {lost} lost: {:?}", self.summary);
        assert_eq!(self.told, lost, "every loss is told once");
        assert_eq!(self.summary.law_open, 0, "{:?}", self.summary);
    }

    #[track_caller]
    pub(crate) fn assert_lane(&self, lane: u32, count: u64) {
        assert!(self.lane(lane).into_iter().eq(0..count), "lane {lane}: {:?}", self.lane(lane));
    }
}

/// What the helper said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) numbers: BTreeMap<String, u64>,
    pub(crate) status: std::process::ExitStatus,
}

impl Said {
    #[track_caller]
    pub(crate) fn get(&self, key: &str) -> u64 {
        *self.numbers.get(key).unwrap_or_else(|| panic!("no {key} in {:?}", self.numbers))
    }
}

/// Runs a scene that must end well within `seconds`; else it and all its children are killed.
pub(crate) fn play(name: &str, place: &Place, seconds: u64) -> Said {
    let said = play_to_any_end(name, place, seconds);
    assert!(said.status.success(), "{name}: {}", said.status);
    assert_eq!(said.get("done"), 1);
    said
}

/// As `play`, whatever its exit status.
pub(crate) fn play_to_any_end(name: &str, place: &Place, seconds: u64) -> Said {
    let out = place.beside("said");
    let mut child = Command::new(env!("CARGO_BIN_EXE_scenario"))
        .arg(name)
        .arg(place.dirs.base())
        .stdout(std::fs::File::create(&out).unwrap())
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > Duration::from_secs(seconds) {
            let group = rustix::process::Pid::from_child(&child);
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            let _ = child.wait();
            panic!("{name} hangs: killed after {seconds} s");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let text = std::fs::read_to_string(&out).unwrap();
    let numbers = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .filter_map(|(key, number)| Some((key.to_owned(), number.parse().ok()?)))
        .collect();
    Said { numbers, status }
}

/// A place with everything on but what is opt-in.
pub(crate) fn place() -> Place {
    let place = Place::new();
    place.enable();
    place
}

/// As `place`, with opt-in events and fields.
pub(crate) fn place_with(opt_in: &[&str]) -> Place {
    let place = Place::new();
    place.enable_with(&EnableRequest {
        levels: [5; 32],
        opt_in: opt_in.iter().map(|name| (*name).to_owned()).collect(),
        ..EnableRequest::default()
    });
    place
}
