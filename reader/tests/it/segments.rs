//! Segments: whole, cut at every byte, with every byte damaged, duplicated, overlapping, foreign.

use std::fs;

use tracewell_reader::{Filter, ReadError};
use tracewell_schema::format::block::BlockHeader;

use crate::synth::{Seen, Segment, events, loss, pad, read, read_with, step, steps};

/// One ring, three blocks of ten, ten and five events, and the counters of its end.
fn three_blocks(pid: u32) -> Segment {
    let parts = [steps(0..10, 1000), steps(10..20, 1000), steps(20..25, 1000)];
    let mut segment = Segment::new("scanner", pid, 1);
    let mut from = 0;
    for (part, sequence) in parts.iter().zip([0, 10, 20]) {
        segment.data(1, from, sequence, part);
        from += part.len() as u64;
    }
    segment.counters(1, 25, 0).counters(2, 0, 0);
    segment
}

#[test]
fn a_whole_segment_is_complete() {
    let dir = tempfile::tempdir().unwrap();
    let path = three_blocks(7).end().write(dir.path());
    let (seen, summary) = read(&path);
    assert_eq!(seen, events(7, 1, 0..25));
    assert!(summary.is_complete(), "{summary:?}");
    assert_eq!((summary.law_checked, summary.law_open, summary.torn), (2, 0, 0));
    assert_eq!((summary.events, summary.shown, summary.processes, summary.rings), (25, 25, 1, 2));
    // The same by the session's folder.
    assert_eq!(read(dir.path()).0, seen);
}

#[test]
fn rings_and_processes_are_merged_by_time_and_keep_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut one = Segment::new("scanner", 7, 1);
    // The second event is dated before the first: the order stays.
    one.data(1, 0, 0, &[step(0, 500), step(1, 100), step(2, 600)].concat());
    one.data(2, 0, 0, &[step(0, 200), step(1, 550), step(2, 600)].concat());
    one.end().write(dir.path());
    let mut two = Segment::new("updater", 8, 1);
    two.data(1, 0, 0, &[step(0, 150), step(1, 600)].concat());
    two.end().write(dir.path());
    let (seen, summary) = read(dir.path());
    let order = [(8, 1, 0), (7, 2, 0), (7, 1, 0), (7, 1, 1), (7, 2, 1), (7, 1, 2), (7, 2, 2), (8, 1, 1)];
    assert_eq!(seen, order.map(|(pid, ring, n)| Seen::Event(pid, ring, n)));
    assert_eq!(summary.time_went_back, 1);
    assert!(summary.is_complete());
}

#[test]
fn a_cut_unsealed_segment_gives_what_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let segment = three_blocks(7);
    let path = segment.write_open(dir.path());
    // A block is whole without its last padding.
    let end = |block: usize| {
        let at = segment.blocks[block];
        at + 96 + BlockHeader::decode(&segment.bytes[at..]).unwrap().stored_len as usize
    };
    let ends = [end(3), end(4), end(5)];
    for cut in (256..segment.bytes.len()).rev() {
        fs::write(&path, &segment.bytes[..cut]).unwrap();
        let (seen, summary) = read(&path);
        let whole = if cut >= ends[2] {
            25
        } else if cut >= ends[1] {
            20
        } else if cut >= ends[0] {
            10
        } else {
            0
        };
        let found: Vec<_> = seen.iter().filter(|s| matches!(s, Seen::Event(..))).cloned().collect();
        assert_eq!(found, events(7, 1, 0..whole), "cut at {cut}");
        assert!(summary.damaged.is_empty(), "cut at {cut}: {:?}", summary.damaged);
        // A cut block whose header is there tells how many events nothing else has.
        let told: u64 = [(3, 10), (4, 20), (5, 25)]
            .iter()
            .find(|(block, _)| {
                let header = segment.blocks[*block] + 96;
                (header..end(*block)).contains(&cut)
            })
            .map_or(0, |(_, after)| after - whole);
        assert_eq!(summary.missing, told, "cut at {cut}");
        assert_eq!(summary.is_complete(), told == 0, "cut at {cut}");
        let between = segment.blocks.contains(&cut)
            || (0..segment.blocks.len()).any(|n| (end(n)..end(n).next_multiple_of(8)).contains(&cut));
        assert_eq!(summary.torn, u64::from(!between), "cut at {cut}");
    }
}

#[test]
fn a_cut_sealed_segment_is_damaged_wherever_it_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let mut segment = three_blocks(7);
    segment.end();
    let path = segment.write(dir.path());
    for cut in 0..segment.bytes.len() {
        fs::write(&path, &segment.bytes[..cut]).unwrap();
        match read_with(std::slice::from_ref(&path), &[], &Filter::default()) {
            Ok((seen, summary)) => {
                assert!(cut >= 256 && !summary.is_complete(), "cut at {cut}");
                let found: Vec<_> = seen.into_iter().filter(|s| matches!(s, Seen::Event(..))).collect();
                assert_eq!(found, events(7, 1, 0..found.len() as u64));
            }
            Err(error) => assert!(cut < 256, "cut at {cut}: {error}"),
        }
    }
}

#[test]
fn no_changed_byte_changes_what_is_read_unnoticed() {
    let dir = tempfile::tempdir().unwrap();
    let mut segment = three_blocks(7);
    segment.end();
    let path = segment.write(dir.path());
    for at in 0..segment.bytes.len() {
        let mut bytes = segment.bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&path, &bytes).unwrap();
        if let Ok((seen, summary)) = read_with(std::slice::from_ref(&path), &[], &Filter::default()) {
            assert!(!summary.is_complete() || seen == events(7, 1, 0..25), "byte {at}");
            let numbers: Vec<_> = seen
                .iter()
                .filter_map(|s| match s {
                    Seen::Event(_, _, n) => Some(*n),
                    _ => None,
                })
                .collect();
            // One block is lost at most; without the schema, which all need, all are.
            let is_shared = at < segment.blocks[3];
            assert!(numbers.is_sorted() && (is_shared || numbers.len() >= 15), "byte {at}: {numbers:?}");
        }
    }
}

#[test]
fn a_damaged_block_costs_that_block() {
    let dir = tempfile::tempdir().unwrap();
    let mut segment = three_blocks(7);
    segment.end();
    // Payload: its header is whole, and tells what it cost.
    let payload = segment.payload_of(4);
    segment.bytes[payload] ^= 1;
    let path = segment.write(dir.path());
    let (seen, summary) = read(&path);
    let expected = [events(7, 1, 0..10), vec![Seen::Hole(7, 101, 10)], events(7, 1, 20..25)].concat();
    assert_eq!(seen, expected);
    let [damage] = &summary.damaged[..] else { panic!("{:?}", summary.damaged) };
    assert_eq!((damage.offset, damage.events), (segment.blocks[4] as u64, 10));
    assert_eq!((&damage.file, summary.missing), (&path, 10));
    assert!(summary.law.is_empty(), "{:?}", summary.law);
    // Header: the next one is found, and the arithmetic tells.
    segment.bytes[payload] ^= 1;
    let header = segment.blocks[4];
    segment.bytes[header] ^= 1;
    segment.write(dir.path());
    let (seen, summary) = read(&path);
    assert_eq!(seen, expected);
    assert_eq!(summary.damaged[0].bytes, (segment.blocks[5] - header) as u64);
}

#[test]
fn bytes_that_look_like_a_header_are_not_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut segment = Segment::new("scanner", 7, 1);
    // A block of another segment stands within an event's text, aligned, with a right checksum.
    let mut other = Segment::new("other", 8, 1);
    other.data(1, 0, 0, &steps(90..95, 1));
    let stolen = &other.bytes[other.blocks[3]..];
    let mut raw = crate::synth::text_step(0, 5, &[b"12", stolen].concat());
    raw.extend(crate::synth::pad(8));
    segment.data(1, 0, 0, &raw);
    segment.data(1, raw.len() as u64, 1, &steps(1..4, 10));
    segment.end();
    let header = segment.blocks[3];
    segment.bytes[header] ^= 1;
    let (seen, summary) = read(&segment.write(dir.path()));
    assert_eq!(seen, [vec![Seen::Hole(7, 101, 1)], events(7, 1, 1..4)].concat());
    assert_eq!(summary.damaged.len(), 1);
}

#[test]
fn what_is_there_twice_is_read_once() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b, c) = (steps(0..10, 1000), steps(10..20, 1000), steps(20..25, 1000));
    let len = a.len() as u64;
    let mut first = Segment::new("scanner", 7, 1);
    first.data(1, 0, 0, &a).data(1, len, 10, &b).end().write(dir.path());
    let mut second = Segment::new("scanner", 7, 2);
    // One block again; one that begins in the middle of what was read.
    second.data(1, len, 10, &b);
    let from = len + (b.len() / 2) as u64;
    second.data(1, from, 15, &[&b[b.len() / 2..], &c].concat());
    second.counters(1, 25, 0).end().write(dir.path());
    let (seen, summary) = read(dir.path());
    assert_eq!(seen, events(7, 1, 0..25));
    assert!(summary.is_complete(), "{summary:?}");
    assert_eq!(summary.duplicates, 1);
}

#[test]
fn a_cut_block_that_was_written_again_is_no_loss() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (steps(0..10, 1000), steps(10..20, 1000));
    let mut first = Segment::new("scanner", 7, 1);
    first.data(1, 0, 0, &a).data(1, a.len() as u64, 10, &b);
    first.bytes.truncate(first.bytes.len() - 16);
    first.write_open(dir.path());
    let mut second = Segment::new("scanner", 7, 2);
    second.data(1, a.len() as u64, 10, &b).counters(1, 20, 0).end().write(dir.path());
    let (seen, summary) = read(dir.path());
    assert_eq!(seen, events(7, 1, 0..20));
    assert!(summary.is_complete(), "{summary:?}");
    assert_eq!(summary.torn, 1);
}

#[test]
fn what_retention_deleted_is_not_missing() {
    let dir = tempfile::tempdir().unwrap();
    let mut segment = Segment::new("scanner", 7, 3);
    segment.data(1, 5000, 40, &steps(40..50, 1000)).counters(1, 50, 0).counters(2, 9, 0);
    segment.end().write(dir.path());
    let (seen, summary) = read(dir.path());
    assert_eq!(seen, events(7, 1, 40..50));
    assert_eq!((summary.retired, summary.missing), (49, 0));
    assert!(summary.is_complete(), "{summary:?}");
    // With the first segment there, nothing was retired.
    let mut first = Segment::new("scanner", 7, 1);
    first.end().write(dir.path());
    let (seen, summary) = read(dir.path());
    assert_eq!(seen[0], Seen::Hole(7, 102, 9));
    assert_eq!(seen[1], Seen::Hole(7, 101, 40));
    assert_eq!((summary.retired, summary.missing), (0, 49));
}

#[test]
fn losses_are_told_where_they_happened_and_the_rest_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut segment = Segment::new("scanner", 7, 1);
    let records = [step(0, 10), loss(20, 4), pad(8), step(1, 30), pad(24)].concat();
    segment.data(1, 0, 0, &records).counters(1, 2, 6).end().write(dir.path());
    let (seen, summary) = read(dir.path());
    let expected = [Seen::Event(7, 1, 0), Seen::Lost(7, 101, 4), Seen::Event(7, 1, 1), Seen::Lost(7, 101, 2)];
    assert_eq!(seen, expected);
    assert_eq!(summary.lost, [6, 0, 0, 0, 0, 0, 0, 0]);
    assert!(summary.law.is_empty() && !summary.is_complete());
}

#[test]
fn numbers_that_do_not_add_up_are_reported() {
    let dir = tempfile::tempdir().unwrap();
    let mut segment = Segment::new("scanner", 7, 1);
    segment.data(1, 0, 0, &steps(0..10, 10)).counters(1, 9, 0).end().write(dir.path());
    let (_, summary) = read(dir.path());
    let [breach] = &summary.law[..] else { panic!("{summary:?}") };
    assert_eq!((breach.ring, breach.attempted, breach.delivered), (1, 9, 10));
    assert!(summary.to_text().contains("does not add up: scanner pid 7 ring 1"));
}

#[test]
fn a_segment_cut_within_its_header_held_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut one = Segment::new("scanner", 7, 1);
    one.data(1, 0, 0, &steps(0..5, 1000)).end();
    one.write(dir.path());
    let mut next = Segment::new("scanner", 7, 2);
    let header = next.bytes.clone();
    for len in [0, 1, 8, 100, 255] {
        next.bytes = header[..len].to_vec();
        let path = next.write_open(dir.path());
        let (seen, summary) = read(dir.path());
        assert_eq!(seen, events(7, 1, 0..5));
        assert!(summary.damaged.is_empty() && summary.missing == 0, "{len}: {summary:?}");
        assert_eq!((summary.torn, summary.torn_bytes), (1, len as u64));
        // Not the beginning of a segment.
        if len != 0 {
            next.bytes[0] ^= 1;
            next.write_open(dir.path());
            assert_eq!(read(dir.path()).1.damaged.len(), 1, "{len}");
        }
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn foreign_files_are_named_and_the_rest_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let good = three_blocks(7).end().write(dir.path());
    let foreign = dir.path().join("x_pid1_00000000_000001.twseg");
    fs::write(&foreign, b"not a segment at all").unwrap();
    let (seen, summary) = read(dir.path());
    assert_eq!(seen, events(7, 1, 0..25));
    assert_eq!(summary.damaged[0].file, foreign);
    let error = read_with(std::slice::from_ref(&foreign), &[], &Filter::default()).unwrap_err().to_string();
    assert!(error.contains("x_pid1") && error.contains("name a file that tracewell wrote"), "{error}");
    // A link, a pipe and a directory in a segment's place are not followed, waited for or read.
    fs::remove_file(&foreign).unwrap();
    std::os::unix::fs::symlink(&good, &foreign).unwrap();
    let pipe = dir.path().join("x_pid1_00000000_000002.twseg");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    fs::create_dir(dir.path().join("x_pid1_00000000_000003.twseg")).unwrap();
    let (seen, summary) = read(dir.path());
    assert_eq!(seen, events(7, 1, 0..25));
    assert_eq!(summary.damaged.len(), 3, "{:?}", summary.damaged);
}

#[test]
fn a_link_to_a_folder_is_followed_only_if_it_is_named() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_blocks(7).end().write(other.path());
    three_blocks(8).end().write(dir.path());
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(other.path(), &link).unwrap();
    let (seen, summary) = read(dir.path());
    assert_eq!(seen, events(8, 1, 0..25));
    assert_eq!(summary.damaged.len(), 1, "{:?}", summary.damaged);
    assert!(summary.damaged[0].file == link && summary.damaged[0].what.contains("not followed"));
    assert_eq!(read(&link).0, events(7, 1, 0..25));
    // And in a trace directory.
    let base = tempfile::tempdir().unwrap();
    fs::create_dir(base.path().join("sessions")).unwrap();
    std::os::unix::fs::symlink(other.path(), base.path().join("sessions/link")).unwrap();
    let (seen, summary) = read(base.path());
    assert!(seen.is_empty() && summary.damaged.len() == 1, "{:?}", summary.damaged);
}

#[test]
fn a_hole_of_a_terabyte_is_not_searched() {
    let dir = tempfile::tempdir().unwrap();
    let path = three_blocks(7).write(dir.path());
    fs::File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
    let begun = std::time::Instant::now();
    let (seen, summary) = read(dir.path());
    // The four gigabytes of them that a segment may have take longer, read byte by byte.
    assert!(begun.elapsed() < std::time::Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(seen, events(7, 1, 0..25));
    assert!(!summary.damaged.is_empty());
}

#[test]
fn a_later_version_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut segment = three_blocks(7);
    segment.bytes[8..12].copy_from_slice(&[2, 0, 5, 0]);
    let path = segment.write(dir.path());
    let error = read_with(&[path], &[], &Filter::default()).unwrap_err();
    assert!(matches!(error, ReadError::Version { found: (2, 5), .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("2.5") && text.contains("1.0") && text.contains("newer tracewell"), "{text}");
}

#[test]
fn unknown_kinds_of_blocks_are_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let mut segment = three_blocks(7);
    segment.meta(tracewell_schema::format::block::BlockKind::Unknown, b"something later").end();
    let (seen, summary) = read(&segment.write(dir.path()));
    assert_eq!(seen, events(7, 1, 0..25));
    assert!(summary.is_complete(), "{summary:?}");
}

#[test]
fn nothing_to_read_is_an_error_that_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().to_owned(), dir.path().join("missing")] {
        let error = read_with(std::slice::from_ref(&path), &[], &Filter::default()).unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
        assert!(
            error.contains("name a trace directory") || error.contains("check that it exists"),
            "{error}"
        );
    }
    // A trace directory in which nothing was traced yet is no error.
    fs::create_dir(dir.path().join("sessions")).unwrap();
    let (seen, summary) = read(dir.path());
    assert!(seen.is_empty() && summary.is_complete());
}

#[test]
fn filters_choose_events_and_losses() {
    let dir = tempfile::tempdir().unwrap();
    let mut segment = Segment::new("scanner", 7, 1);
    let named = crate::synth::text_step(3, 3000, b"/home/alex/invoice.pdf");
    segment.data(1, 0, 0, &[steps(0..3, 1000), loss(2500, 1), named, steps(4..9, 1000)].concat());
    segment.counters(1, 9, 1).end().write(dir.path());
    let start = crate::synth::START;
    let read = |filter: Filter| read_with(&[dir.path().to_owned()], &[], &filter).unwrap().0;
    let lost = vec![Seen::Lost(7, 101, 1)];
    let time = Filter { since: Some(start + 2000), until: Some(start + 4000), ..Filter::default() };
    assert_eq!(read(time), [events(7, 1, 2..3), lost.clone(), events(7, 1, 3..5)].concat());
    assert!(read(Filter { pids: vec![8], ..Filter::default() }).is_empty());
    assert!(read(Filter { components: vec!["updater".into()], ..Filter::default() }).is_empty());
    assert_eq!(read(Filter { level: 2, ..Filter::default() }), lost);
    assert_eq!(read(Filter { categories: vec![13], level: 3, ..Filter::default() }).len(), 10);
    assert_eq!(read(Filter { events: vec!["test.other".into()], ..Filter::default() }), lost);
}

#[test]
fn events_are_found_by_text() {
    let dir = tempfile::tempdir().unwrap();
    let mut segment = Segment::new("scanner", 7, 1);
    segment.data(1, 0, 0, &[step(0, 1), crate::synth::text_step(1, 2, b"/home/alex/invoice.pdf")].concat());
    let path = segment.end().write(dir.path());
    let trace = tracewell_reader::Trace::open(&[path], &[]).unwrap();
    let mut found = Vec::new();
    let each = |item: &tracewell_reader::Item<'_>| {
        if let tracewell_reader::Item::Event(event) = item {
            found.push(["invoice", "test.", "nowhere", ""].map(|text| event.has_text(text)));
        }
        Ok::<(), ReadError>(())
    };
    trace.read(&Filter::default(), each).unwrap();
    assert_eq!(found, [[false, true, false, true], [true, true, false, true]]);
}

#[test]
fn a_segment_that_is_packed_between_two_looks_is_read_whole() {
    let dir = tempfile::tempdir().unwrap();
    let fill = |segment: &mut Segment| {
        let (a, b) = (steps(0..10, 1000), steps(10..20, 1000));
        let len = a.len() as u64;
        segment.data(1, 0, 0, &a).data(2, 0, 0, &steps(0..5, 900)).data(1, len, 10, &b);
        segment.counters(1, 20, 0).counters(2, 5, 0).end();
    };
    let mut before = Segment::new("scanner", 7, 1);
    fill(&mut before);
    let path = before.write(dir.path());
    let trace = tracewell_reader::Trace::open(&[path], &[]).unwrap();
    // The same blocks in other places.
    let mut after = Segment::new("scanner", 7, 1);
    after.meta(tracewell_schema::format::block::BlockKind::Clocks, &crate::synth::points()[0].encode());
    fill(&mut after);
    after.write(dir.path());
    let mut seen = 0;
    let each = |item: &tracewell_reader::Item<'_>| {
        seen += usize::from(matches!(item, tracewell_reader::Item::Event(_)));
        Ok::<(), ReadError>(())
    };
    let summary = trace.read(&Filter::default(), each).unwrap();
    assert_eq!((seen, summary.is_complete()), (25, true), "{summary:?}");
}
