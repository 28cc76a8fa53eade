//! Dumps that are made, read back by other readers.

use std::os::unix::fs::MetadataExt;
use std::process::Command;

use minidump::{Minidump, MinidumpModuleList, MinidumpThreadList, MinidumpThreadNames};

use crate::component::{Component, KNOWN, dumps, enabled, has, is_whole, threads_of};
use crate::support;

/// A future that is ready at once, as those of the processor are without symbol servers.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}

/// What `minidump-stackwalk` makes of it.
fn walked(bytes: Vec<u8>) -> minidump_processor::ProcessState {
    let dump = Minidump::read(bytes).unwrap();
    let symbols = minidump_unwind::Symbolizer::new(minidump_unwind::simple_symbol_supplier(Vec::new()));
    now(minidump_processor::process_minidump(&dump, &symbols)).unwrap()
}

#[test]
fn a_minidump_has_the_threads_and_no_ring_no_key_no_heap() {
    let place = enabled();
    let component = Component::start(&place, 0);
    let said = place.run(&["dump", "--component", "scanner"]).ok().stdout;
    assert!(said.contains("stopped for ") && said.contains("Nothing was sent"), "{said}");
    let all = dumps(&place);
    assert_eq!(all.len(), 1);
    let meta = std::fs::metadata(&all[0]).unwrap();
    assert_eq!(meta.mode() & 0o7777, 0o600);
    assert_eq!(std::fs::metadata(place.base().join("dumps")).unwrap().mode() & 0o7777, 0o700);
    let bytes = std::fs::read(&all[0]).unwrap();
    for name in ["dontdump", "locked", "ring", "heap", "event", "environment"] {
        assert!(!has(&bytes, name), "{name}");
    }
    assert!(has(&bytes, "stack"), "the stacks are what it is for");
    // Only stacks and some code: nothing that they point to.
    let dump = Minidump::read(bytes.clone()).unwrap();
    let list = dump.get_stream::<MinidumpThreadList<'_>>().unwrap();
    for range in dump.get_memory().unwrap().iter() {
        let start = range.base_address();
        let is_stack = list.threads.iter().any(|t| t.raw.stack.start_of_memory_range == start);
        assert!(is_stack || range.size() <= 256, "{start:x} {}", range.size());
    }
    // Every thread with its name, as the system says and as the stack walker does.
    let names = dump.get_stream::<MinidumpThreadNames>().unwrap();
    let mut told: Vec<(u32, String)> = list
        .threads
        .iter()
        .map(|t| (t.raw.thread_id, names.get_name(t.raw.thread_id).unwrap().into_owned()))
        .collect();
    told.sort();
    assert_eq!(told, threads_of(component.pid()));
    assert!(told.iter().any(|(_, name)| name == "emitter"));
    let state = walked(bytes);
    assert_eq!(state.threads.len(), told.len());
    let idle = state.threads.iter().find(|t| t.thread_name.as_deref() == Some("idle-one")).unwrap();
    let modules: Vec<&str> =
        idle.frames.iter().filter_map(|f| f.module.as_ref()).map(|m| m.name.as_str()).collect();
    let own = std::env::current_exe().unwrap();
    assert!(modules.iter().any(|m| m.contains("libc.so")), "{modules:?}");
    assert!(modules.contains(&own.to_str().unwrap()), "{modules:?}");
    let list = dump.get_stream::<MinidumpModuleList>().unwrap();
    let program = list.iter().next().unwrap();
    assert_eq!(program.name, own.to_str().unwrap(), "the program is first");
    use minidump::Module;
    assert!(program.code_identifier().is_some_and(|id| !id.to_string().trim_matches('0').is_empty()));
    // As text.
    let name = all[0].file_name().unwrap().to_str().unwrap();
    let shown = place.run(&["dump", "--show", name]).ok().stdout;
    for part in [
        "minidump of scanner",
        "idle-one",
        "libc.so.6+0x",
        "build id",
        "stack of thread",
        "left out on purpose",
        "rings",
        "marked not to be dumped",
        "locked, as secrets are",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    is_whole(&place, component.end());
}

/// What gdb says to these commands.
fn gdb(core: &std::path::Path, commands: &[&str]) -> String {
    let mut gdb = Command::new("gdb");
    gdb.args(["-q", "-batch", "-nx", "-iex", "set debuginfod enabled off", "-iex", "set auto-load off"]);
    for command in commands {
        gdb.args(["-ex", command]);
    }
    let output = gdb.arg(std::env::current_exe().unwrap()).arg(core).output().expect("gdb is installed");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn gdb_opens_a_full_dump_which_has_the_heap_and_no_ring_and_no_key() {
    let place = enabled();
    let component = Component::start(&place, 3_000_000);
    let core = place.path("scanner.core");
    let pid = component.pid().to_string();
    let said = place.run(&["dump", "--pid", &pid, "--full", "-o", core.to_str().unwrap()]).ok().stdout;
    for part in
        ["stopped for ", "rings", "marked not to be dumped", "locked, as secrets are", "as in their files"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(std::fs::metadata(&core).unwrap().mode() & 0o7777, 0o600);
    let bytes = std::fs::read(&core).unwrap();
    for name in ["dontdump", "locked", "ring", "environment"] {
        assert!(!has(&bytes, name), "{name}");
    }
    for name in ["heap", "stack"] {
        assert!(has(&bytes, name), "{name}");
    }
    let threads = threads_of(component.pid());
    let told = gdb(
        &core,
        &[
            "info threads",
            "print/x *(unsigned long *)&TRACEWELL_KNOWN",
            "thread apply all bt 3",
            "info sharedlibrary",
        ],
    );
    assert!(told.contains(&format!("{KNOWN:#x}")), "{told}");
    let is_row = |l: &&str| {
        l.trim_start_matches(['*', ' ']).starts_with(|c: char| c.is_ascii_digit()) && l.contains("(LWP ")
    };
    assert_eq!(told.lines().filter(is_row).count(), threads.len(), "{told}");
    for (tid, _) in &threads {
        assert!(told.contains(&format!("LWP {tid}")), "{tid}: {told}");
    }
    assert!(told.contains("libc.so.6"), "{told}");
    for problem in
        ["truncated", "not in executable format", "Failed to read", "warning: core file may not match"]
    {
        assert!(!told.contains(problem), "{told}");
    }
    let shown = place.run(&["dump", "--show", core.to_str().unwrap()]).ok().stdout;
    for part in
        ["whole memory of scanner", "emitter", "rsp", "libc.so.6+0x", "left out on purpose", "shared files"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    is_whole(&place, component.end());
}

#[test]
fn dumps_are_listed_named_and_purged_and_nothing_is_replaced() {
    let place = enabled();
    assert!(place.run(&["dump", "--list"]).ok().stdout.contains("no dumps"));
    let (one, two) = (Component::start(&place, 0), Component::start(&place, 0));
    let both = [one.pid().to_string(), two.pid().to_string()];
    place.run(&["dump", "--component", "scanner"]).error(&["2 processes", &both[0], &both[1], "--pid"]);
    place.run(&["dump", "--component", "nobody"]).error(&["nobody", "not attached", "tracewell status"]);
    place.run(&["dump", "--component", "other", "--pid", &both[0]]).error(&["is component scanner"]);
    place.run(&["dump"]).error_of_arguments(&["--component", "--list"]);
    place.run(&["dump", "--pid", &both[0]]).ok();
    place.run(&["dump", "--component", "scanner", "--pid", &both[1], "--full"]).ok();
    let listed = place.run(&["dump", "--list"]).ok().stdout;
    for part in ["scanner process", "minidump", "whole memory", "on request", &both[0], &both[1]] {
        assert!(listed.contains(part), "{part}: {listed}");
    }
    let file = place.path("mine.dmp");
    for target in [file.clone(), place.path("link.dmp")] {
        let to = target.to_str().unwrap();
        std::fs::write(&file, "precious").unwrap();
        let _ = std::os::unix::fs::symlink(&file, place.path("link.dmp"));
        place.run(&["dump", "--pid", &both[0], "-o", to]).error(&["exists", "another name"]);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    }
    place
        .run(&["dump", "--pid", &both[0], "-o", place.path("no/such/x.dmp").to_str().unwrap()])
        .error(&["no/such"]);
    let status = place.run(&["status", "--json"]).ok().stdout;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let places = status["places"].as_array().unwrap();
    assert_eq!(places.iter().filter(|p| p["kind"] == "dump").count(), 2, "{status}");
    assert!(place.run(&["audit"]).ok().stdout.lines().filter(|l| l.contains("  dump ")).count() >= 2);
    one.end();
    two.end();
    place.run(&["disable"]).ok();
    let would = place.run(&["purge"]).ok().stdout;
    assert!(would.contains("2 memory dumps") && would.contains(".core"), "{would}");
    assert_eq!(dumps(&place).len(), 2);
    place.run(&["purge", "--yes"]).ok();
    assert!(dumps(&place).is_empty());
}

#[test]
fn a_bundle_takes_dumps_without_a_file_of_them() {
    let place = enabled();
    let component = Component::start(&place, 3_000_000);
    let created = place
        .run(&[
            "bundle",
            "create",
            "--only",
            "trace",
            "--dump",
            "scanner",
            "--full-dump",
            "scanner",
            "--dump",
            "nobody",
        ])
        .ok();
    for part in
        ["dump/0001.dmp", "dump/0002.core", "content of memory", "a minidump of nobody", "stopped for"]
    {
        assert!(created.stdout.contains(part), "{part}: {created:?}");
    }
    assert!(!created.stdout.contains("does not collect it yet: a minidump"));
    assert!(dumps(&place).is_empty());
    let text = place.run(&["bundle", "show", "--member", "dump/0001.dmp"]).ok().stdout;
    for part in ["minidump of scanner", "idle-one", "libc.so.6+0x", "stack of thread"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let text = place.run(&["bundle", "show", "--member", "dump/0002.core"]).ok().stdout;
    for part in ["whole memory of scanner", "emitter", "[heap]", "rings"] {
        assert!(text.contains(part) || part == "[heap]", "{part}: {text}");
    }
    let core = place.path("member.core");
    let file = std::fs::File::create(&core).unwrap();
    let done = place
        .command()
        .args(["bundle", "show", "--member", "dump/0002.core", "--raw"])
        .stdout(file)
        .status()
        .unwrap();
    assert!(done.success());
    let told = gdb(&core, &["print/x *(unsigned long *)&TRACEWELL_KNOWN"]);
    assert!(told.contains(&format!("{KNOWN:#x}")), "{told}");
    let bytes = std::fs::read(&core).unwrap();
    assert!(has(&bytes, "heap") && !has(&bytes, "ring") && !has(&bytes, "locked"));
    // Nothing of it can be read in what lies on the disk.
    std::fs::remove_file(&core).unwrap();
    for file in support::list(&place.base().join("bundles")).iter().flat_map(|folder| support::list(folder)) {
        assert!(!has(&std::fs::read(&file).unwrap(), "heap"), "{file:?}");
    }
    is_whole(&place, component.end());
}
