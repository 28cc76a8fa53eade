//! What a component sees: events arrive, off is off, threads come and go, forks and signals do no harm.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tracewell::testing::{capture, capture_with};
use tracewell::{Event, Tracer, emit};

/// A step of a test.
#[derive(Event, Clone, Copy, Debug)]
#[event(name = "custom.step", category = "custom", level = "info", text = "step {number} of {name}")]
struct Step<'a> {
    /// Which.
    #[field(public)]
    number: u64,
    /// Of what.
    #[field(personal, max = 16)]
    name: &'a str,
}

/// Carries a secret and reduced fields.
#[derive(Event, Clone, Copy, Debug)]
#[event(name = "custom.login", category = "custom", level = "info", text = "{user} logged in")]
struct Login<'a> {
    /// Who.
    #[field(personal, opt_in)]
    user: Option<&'a str>,
    /// Never stored.
    #[field(secret)]
    password: &'a str,
    /// From where.
    #[field(personal, reduce = "prefix(24, 48)")]
    from: std::net::IpAddr,
}

/// Off until named.
#[derive(Event, Clone, Copy, Debug)]
#[event(name = "custom.shy", category = "custom", level = "info", text = "shy", opt_in)]
struct Shy {
    /// Anything.
    #[field(public)]
    n: u8,
}

#[test]
fn events_arrive_in_order_with_their_fields() {
    let capture = capture("scanner");
    for number in 0..1000 {
        emit!(capture.tracer(), Step { number, name: "α very long name that is cut" });
    }
    let events = capture.events();
    assert_eq!(events.len(), 1000);
    for (i, event) in events.iter().enumerate() {
        assert_eq!(event.name, "custom.step");
        assert_eq!(event.fields["number"], i.to_string());
        assert_eq!(event.fields["name"], "α very long nam");
    }
}

#[test]
#[expect(unreachable_code, clippy::diverging_sub_expression, reason = "the arguments must never be reached")]
fn arguments_are_not_evaluated_while_off() {
    let dir = tempfile::tempdir().unwrap();
    let tracer = Tracer::builder("scanner").dir(dir.path().join("trace")).attach().unwrap();
    emit!(tracer, Step { number: panic!("evaluated"), name: "" });
    emit!(Tracer::inert("x"), Step { number: panic!("evaluated"), name: "" });
    let capture = capture("scanner");
    emit!(capture.tracer(), Shy { n: panic!("evaluated") });
}

#[test]
fn secrets_and_reductions_apply_at_emit() {
    let secret = "correct horse battery staple 4711";
    let shown = capture_with("scanner", &["custom.login.user"]);
    let hidden = capture("scanner");
    for capture in [&shown, &hidden] {
        emit!(
            capture.tracer(),
            Login { user: Some("alex"), password: secret, from: "192.0.2.77".parse().unwrap() }
        );
        let events = capture.events();
        assert!(events[0].fields["password"].starts_with("secret 4 "));
        assert_eq!(events[0].fields["from"], "192.0.2.0");
    }
    assert_eq!(shown.events()[0].fields["user"], "alex");
    assert!(!hidden.events()[0].fields.contains_key("user"));
    assert_ne!(
        shown.events()[0].fields["password"],
        hidden.events()[0].fields["password"],
        "a key a session"
    );
}

#[test]
fn opt_in_events_need_their_name() {
    let with = capture_with("scanner", &["custom.shy"]);
    emit!(with.tracer(), Shy { n: 1 });
    assert_eq!(with.events().len(), 1);
}

#[test]
fn many_threads_come_and_go_and_nothing_is_lost() {
    let capture = capture("threads");
    for _ in 0..20 {
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for number in 0..100 {
                        emit!(capture.tracer(), Step { number, name: "t" });
                    }
                });
            }
        });
        // The drain has seen that they are gone, however slow it is.
        capture.tracer().flush().unwrap();
    }
    let stats = capture.tracer().stats();
    assert_eq!(stats.lost_total(), 0);
    assert_eq!(capture.events().len(), 20 * 16 * 100);
    assert!(capture.tracer().stats().rings < 200, "rings are reused: {}", capture.tracer().stats().rings);
}

#[test]
fn a_small_ring_under_pressure_counts_exactly_what_it_loses() {
    let dir = tempfile::tempdir().unwrap();
    let dirs = tracewell::dirs::Dirs::resolve(Some(&dir.path().join("trace"))).unwrap();
    let tracer = Tracer::builder("busy").dir(dir.path().join("trace")).ring_size(65_536).attach().unwrap();
    let control = tracewell::control::Control::open_or_create(&dirs).unwrap();
    control.enable(&dirs, &Default::default()).unwrap();
    let attempts = 300_000;
    for number in 0..attempts {
        emit!(tracer, Step { number, name: "pressure" });
    }
    tracer.flush().unwrap();
    let stats = tracer.stats();
    assert_eq!(stats.delivered + stats.lost_total(), attempts);
    tracer.shutdown();
    assert!(!dirs.ring_root().exists(), "a clean shutdown leaves nothing");
}

#[test]
fn a_component_that_chose_to_wait_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dirs = tracewell::dirs::Dirs::resolve(Some(&dir.path().join("trace"))).unwrap();
    let patient = tracewell::WhenFull::Wait(std::time::Duration::from_secs(60));
    let builder = Tracer::builder("patient").dir(dir.path().join("trace")).ring_size(65_536);
    let tracer = builder.when_full(patient).attach().unwrap();
    let control = tracewell::control::Control::open_or_create(&dirs).unwrap();
    control.enable(&dirs, &Default::default()).unwrap();
    for number in 0..100_000 {
        emit!(tracer, Step { number, name: "patience" });
    }
    tracer.flush().unwrap();
    assert_eq!((tracer.stats().delivered, tracer.stats().lost_total()), (100_000, 0));
}

#[test]
fn enable_and_disable_reach_a_running_thread() {
    let dir = tempfile::tempdir().unwrap();
    let dirs = tracewell::dirs::Dirs::resolve(Some(&dir.path().join("trace"))).unwrap();
    let tracer = Tracer::builder("switch").dir(dir.path().join("trace")).attach().unwrap();
    let control = tracewell::control::Control::open(&dirs).unwrap().unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    emit!(tracer, Step { number, name: "loop" });
                    number += 1;
                }
            });
        }
        for _ in 0..10 {
            control.enable(&dirs, &Default::default()).unwrap();
            let begun = Instant::now();
            while tracer.stats().rings == 0 {
                assert!(begun.elapsed() < Duration::from_secs(2), "never began");
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_millis(20));
            control.disable().unwrap();
            let ended = Instant::now();
            let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
            while tracer.stats().rings != 0 {
                assert!(ended.elapsed() < Duration::from_secs(5), "never ended; {} threads", threads());
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    tracer.shutdown();
    assert_eq!(std::fs::read_dir(dirs.ring_root()).map_or(0, Iterator::count), 0);
    let open = walk(&dirs.sessions()).into_iter().filter(|p| p.ends_with(".open")).count();
    assert_eq!(open, 0, "every segment is sealed");
}

fn walk(dir: &std::path::Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            all.extend(walk(&entry.path()));
        } else {
            all.push(entry.path().display().to_string());
        }
    }
    all
}

#[test]
fn the_drain_does_not_stay_on_the_processor_of_the_first_thread_that_emits() {
    let capture = capture("bound");
    let everywhere = rustix::thread::sched_getaffinity(Some(rustix::process::getpid())).unwrap();
    let first = (0..rustix::thread::CpuSet::MAX_CPU).find(|cpu| everywhere.is_set(*cpu)).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut one = rustix::thread::CpuSet::new();
            one.set(first);
            rustix::thread::sched_setaffinity(None, &one).unwrap();
            emit!(capture.tracer(), Step { number: 1, name: "bound" });
        });
    });
    capture.tracer().flush().unwrap();
    let mut found = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let Ok(name) = std::fs::read_to_string(task.path().join("comm")) else { continue };
        let Ok(tid) = task.file_name().to_string_lossy().parse() else { continue };
        if name.starts_with("tracewell-")
            && let Ok(set) = rustix::thread::sched_getaffinity(rustix::thread::Pid::from_raw(tid))
        {
            assert_eq!(set.count(), everywhere.count(), "{name}");
            found += 1;
        }
    }
    assert!(found >= 3, "drain, writer and tender");
}
