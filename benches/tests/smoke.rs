//! Both programs in their shortest form, ours only: every measure is there, and nothing failed.

use serde_json::Value;
use tracewell_benches::compare::figures::Better;
use tracewell_benches::compare::options::Options;
use tracewell_benches::compare::{self, measures, peers};
use tracewell_benches::scale;

/// Options of a run that only shows that everything works.
fn quick(options: Options, out: &std::path::Path) -> Options {
    let args = ["--quick", "--only", "ours", "--no-build", "--secs", "0.1", "--out"].map(str::to_owned);
    options.parse(args.into_iter().chain([out.display().to_string()])).expect("options")
}

fn json(path: &std::path::Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("written")).expect("JSON")
}

#[test]
fn compare_measures_everything_of_ours() {
    let out = tempfile::tempdir().expect("a folder");
    let options = quick(Options::new(env!("CARGO_BIN_EXE_bench-ours")), out.path());
    let outcome = compare::run(&options).expect("a run");
    let json = json(&out.path().join("compare.json"));
    let figures = json["figures"].as_array().expect("figures");
    for measure in measures::ALL {
        let peer = if measure.better == Better::Neither { "machine" } else { "ours" };
        let found = figures.iter().find(|f| f["measure"] == measure.id && f["peer"] == peer);
        let found = found.unwrap_or_else(|| panic!("no {}: {:?}", measure.id, outcome.notes));
        for key in ["min", "median", "max"] {
            assert!(found[key].as_f64().is_some_and(f64::is_finite), "{key} of {found}");
        }
        assert!(found["n"].as_u64() >= Some(1), "{found}");
        assert_eq!(found["unit"], measure.unit);
    }
    let of = |w: &str| figures.iter().filter(|f| f["workload"] == w && f["peer"] == "ours").count();
    assert!(of("W0") >= 4 && of("W1") > 20 && of("W2") >= 14 && of("W3") == 1);
    for goal in json["goals"].as_array().expect("goals") {
        assert!(goal["met"].is_boolean() || goal["met"].is_null(), "{goal}");
    }
    let states: Vec<_> = json["peers"].as_array().expect("peers").iter().map(|p| &p["state"]).collect();
    assert_eq!(states.iter().filter(|s| **s == "ran").count(), 2);
    let table = std::fs::read_to_string(out.path().join("compare.md")).expect("a table");
    assert!(table.contains("| emit on W1 |") && table.contains("### Goals"));
    // A slow machine may refuse events, and says so; nothing may fail.
    let failed = outcome.notes.iter().filter(|n| n.contains("exit status") || n.contains("did not end"));
    assert_eq!(failed.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn a_peer_that_is_not_there_is_named() {
    let out = tempfile::tempdir().expect("a folder");
    // Nothing was built beside this program, and nothing may be.
    let options = Options { no_build: true, ..Options::new(out.path().join("release/deps/ours")) };
    let runner = tracewell_benches::child::Runner::new(out.path()).expect("a folder");
    for peer in peers::all(&options, &runner) {
        let peers::State::Missing(why) = &peer.state else { panic!("{peer:?}") };
        assert!(why.starts_with("not "), "{}: {why}", peer.name);
    }
}

#[test]
fn scale_draws_its_plots() {
    let out = tempfile::tempdir().expect("a folder");
    let options = quick(scale::defaults(env!("CARGO_BIN_EXE_bench-ours")), out.path());
    let files = scale::run(&options).expect("a run");
    let plots = files.iter().filter(|f| f.extension().is_some_and(|e| e == "svg"));
    for plot in plots.clone() {
        let svg = std::fs::read_to_string(plot).expect("written");
        assert!(svg.contains("<polyline points=\"") && svg.ends_with("</svg>\n"), "{}", plot.display());
    }
    assert_eq!(plots.count(), 6);
    let json = json(&out.path().join("scale.json"));
    assert_eq!(json["notes"], serde_json::json!([]));
    assert_eq!(json["sweeps"].as_array().map(Vec::len), Some(5));
}
