//! Segments over time: rotation and retention by age, packing later, purge under a running component.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use tracewell::control::EnableRequest;
use tracewell::{Tracer, emit};
use tracewell_schema::format::block::{BlockHeader, FLAG_HASTY, HEADER_LEN};
use tracewell_tests::{Numbered, Place, text_of};

use crate::scenes::Read;

fn segments(place: &Place) -> Vec<PathBuf> {
    let mut all: Vec<_> = std::fs::read_dir(place.dirs.sessions())
        .into_iter()
        .flatten()
        .flatten()
        .flat_map(|session| std::fs::read_dir(session.path()).into_iter().flatten().flatten())
        .map(|file| file.path())
        .collect();
    all.sort();
    all
}

fn is_sealed(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "twseg")
}

fn modified(path: &Path) -> SystemTime {
    std::fs::metadata(path).unwrap().modified().unwrap()
}

#[test]
fn segments_rotate_by_age_under_steady_flushes() {
    let place = Place::new();
    place.enable_with(&EnableRequest {
        levels: [5; 32],
        segment_age: Duration::from_secs(1),
        ..EnableRequest::default()
    });
    let tracer = Tracer::builder("aged").dir(place.dirs.base()).attach().unwrap();
    let (begun, mut number) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_millis(4500) {
        emit!(tracer, Numbered { lane: 0, number, text: &text_of(number) });
        tracer.flush().unwrap();
        number += 1;
        std::thread::sleep(Duration::from_millis(15));
    }
    let sealed = segments(&place).iter().filter(|path| is_sealed(path)).count();
    assert!((2..=4).contains(&sealed), "{sealed} sealed after 4.5 s");
    tracer.shutdown();
    let read = Read::of(&place);
    read.assert_lane(0, number);
    read.assert_all_of(number);
}

#[test]
fn a_quiet_component_seals_its_segment_by_age_too() {
    let place = Place::new();
    place.enable_with(&EnableRequest {
        levels: [5; 32],
        segment_age: Duration::from_secs(1),
        ..EnableRequest::default()
    });
    let tracer = Tracer::builder("quiet").dir(place.dirs.base()).attach().unwrap();
    emit!(tracer, Numbered { lane: 0, number: 0, text: &text_of(0) });
    tracer.flush().unwrap();
    let begun = Instant::now();
    while !segments(&place).iter().any(|path| is_sealed(path)) {
        assert!(begun.elapsed() < Duration::from_secs(10), "never sealed");
        std::thread::sleep(Duration::from_millis(20));
    }
    // Nothing new: no further segment.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(segments(&place).len(), 1);
    tracer.shutdown();
    Read::of(&place).assert_all_of(1);
}

#[test]
fn old_segments_go_and_the_reader_says_how_many_events() {
    let place = Place::new();
    place.enable_with(&EnableRequest {
        levels: [5; 32],
        segment_age: Duration::from_secs(1),
        max_age: Duration::from_secs(2),
        ..EnableRequest::default()
    });
    let tracer = Tracer::builder("retained").dir(place.dirs.base()).attach().unwrap();
    let (begun, mut number) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_millis(6500) {
        emit!(tracer, Numbered { lane: 0, number, text: &text_of(number) });
        number += 1;
        std::thread::sleep(Duration::from_millis(10));
        if number % 5 == 0 {
            tracer.flush().unwrap();
        }
    }
    tracer.shutdown();
    let oldest = segments(&place).iter().map(|path| modified(path)).min().unwrap();
    assert!(oldest.elapsed().unwrap() < Duration::from_secs(5), "{:?}", oldest.elapsed());
    let read = Read::of(&place);
    let s = &read.summary;
    assert!(s.retired > 0 && s.retired + s.events == number, "{s:?}, {number}");
    assert!(read.lane(0).into_iter().eq(s.retired..number), "the newest, all of them");
    read.assert_sound();
}

fn hasty_blocks(path: &Path) -> usize {
    let bytes = std::fs::read(path).unwrap();
    let (mut at, mut hasty) = (256, 0);
    while let Some(header) = bytes.get(at..).and_then(|b| BlockHeader::decode(b).ok()) {
        hasty += usize::from(header.flags & FLAG_HASTY != 0);
        at += HEADER_LEN + header.padded_len() as usize;
    }
    hasty
}

#[test]
fn what_was_stored_in_haste_is_packed_by_a_later_process() {
    let place = Place::new();
    place.enable_with(&EnableRequest {
        levels: [5; 32],
        segment_bytes: 256 << 10,
        ..EnableRequest::default()
    });
    let attach = || Tracer::builder("hasty").dir(place.dirs.base()).ring_size(65_536).attach().unwrap();
    let tracer = attach();
    for number in 0..60_000 {
        emit!(tracer, Numbered { lane: 0, number, text: &text_of(number) });
    }
    // Ends with most of it not packed: the end of the session does not wait for that.
    tracer.shutdown();
    drop(tracer);
    let before: BTreeMap<PathBuf, (usize, u64, SystemTime)> = segments(&place)
        .into_iter()
        .map(|path| {
            let len = std::fs::metadata(&path).unwrap().len();
            (path.clone(), (hasty_blocks(&path), len, modified(&path)))
        })
        .collect();
    let hasty = before.values().filter(|(hasty, ..)| *hasty != 0).count();
    assert!(hasty > 0, "{before:?}");
    let read = Read::of(&place);
    read.assert_sound();
    // A file that a killed packer left.
    let left = PathBuf::from(format!("{}.packing", before.keys().next().unwrap().display()));
    std::fs::write(&left, "half of it").unwrap();
    std::fs::set_permissions(&left, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let tracer = attach();
    emit!(tracer, Numbered { lane: 1, number: 0, text: &text_of(0) });
    let begun = Instant::now();
    while before.keys().any(|path| hasty_blocks(path) != 0) || left.exists() {
        assert!(begun.elapsed() < Duration::from_secs(20), "never packed");
        std::thread::sleep(Duration::from_millis(20));
    }
    tracer.shutdown();
    let (mut bytes, mut packed) = (0, 0);
    for (path, (hasty, len, time)) in &before {
        assert_eq!(modified(path), *time, "retention goes by it");
        if *hasty != 0 {
            bytes += len;
            packed += std::fs::metadata(path).unwrap().len();
        }
    }
    assert!(packed < bytes, "{packed} of {bytes}");
    assert!(segments(&place).iter().all(|path| is_sealed(path)), "{:?}", segments(&place));
    let again = Read::of(&place);
    again.assert_sound();
    assert!(again.lane(0) == read.lane(0) && again.lane(1) == [0]);
    assert_eq!(again.summary.lost, read.summary.lost);
}

#[test]
fn segments_deleted_under_a_running_component_do_not_come_back_and_stop_nothing() {
    let place = Place::new();
    let session = place.enable_with(&EnableRequest {
        levels: [5; 32],
        segment_bytes: 64 << 10,
        ..EnableRequest::default()
    });
    let tracer = Tracer::builder("purged").dir(place.dirs.base()).ring_size(65_536).attach().unwrap();
    let mut deleted = Vec::new();
    for number in 0..40_000 {
        emit!(tracer, Numbered { lane: 0, number, text: &text_of(number) });
        if number % 200 == 0 {
            // A flush lets the drain come along, so that segments are full before the last emit.
            tracer.flush().unwrap();
            for path in segments(&place).into_iter().filter(|path| is_sealed(path)) {
                if std::fs::remove_file(&path).is_ok() {
                    deleted.push(path);
                }
            }
        }
    }
    // The whole folder, while a segment is open.
    tracer.flush().unwrap();
    std::fs::remove_dir_all(&session.folder).unwrap();
    for number in 40_000..50_000 {
        emit!(tracer, Numbered { lane: 1, number, text: &text_of(number) });
        if number % 500 == 0 {
            tracer.flush().unwrap_or_else(|e| assert!(e.to_string().contains("No such file"), "{e}"));
        }
    }
    tracer.shutdown();
    assert!(!deleted.is_empty(), "no segment was sealed in 40,000 events");
    let back: Vec<_> = deleted.iter().filter(|path| path.exists()).collect();
    assert!(back.is_empty(), "came back: {back:?}");
    let read = Read::of(&place);
    assert!(read.summary.law.is_empty() && read.summary.damaged.is_empty(), "{:?}", read.summary);
    // From the next segment on everything is there.
    let seen = read.lane(1);
    assert!(seen.last() == Some(&49_999) || read.summary.lost_total() != 0, "{:?}", seen.last());
}

/// Bytes of a segment that are handed over, a few at a time.
#[derive(Debug)]
struct Given(Vec<u8>);

impl tracewell_reader::ReadAt for Given {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
        let rest = self.0.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        let n = rest.len().min(buffer.len()).min(777);
        buffer[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn size(&self) -> std::io::Result<u64> {
        Ok(self.0.len() as u64)
    }
}

#[test]
fn a_segment_that_is_handed_over_reads_as_its_file_does() {
    use tracewell_reader::{Filter, Form, Trace};
    let place = Place::new();
    place.enable();
    let tracer = Tracer::builder("handed").dir(place.dirs.base()).attach().unwrap();
    for number in 0..20_000 {
        emit!(tracer, Numbered { lane: 0, number, text: &text_of(number) });
    }
    tracer.shutdown();
    let path = segments(&place).into_iter().find(|path| is_sealed(path)).unwrap();
    let lines = |trace: &Trace, threads| {
        let (mut out, form) = (Vec::new(), Form::Text { local: false });
        let summary = trace.write_lines(&Filter::default(), form, threads, &mut out, |_| ()).unwrap();
        (out, summary.events, summary.is_complete())
    };
    let file = lines(&Trace::open(std::slice::from_ref(&path), &[]).unwrap(), 1);
    let mut bytes = std::fs::read(&path).unwrap();
    // Its name is no path that is looked at: what lies there is not read in its place.
    let name = path.with_file_name("elsewhere.twseg");
    std::fs::write(&name, b"something else").unwrap();
    for threads in [1, 2] {
        let given = Trace::open_segment(&name, std::sync::Arc::new(Given(bytes.clone()))).unwrap();
        assert_eq!(lines(&given, threads), file);
    }
    assert_eq!(file.1, 20_000);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    let harmed = Trace::open_segment(&name, std::sync::Arc::new(Given(bytes))).unwrap();
    let (_, events, is_complete) = lines(&harmed, 1);
    assert!(events < 20_000 && !is_complete, "{events}");
    assert!(Trace::open_segment(&name, std::sync::Arc::new(Given(vec![7; 5000]))).is_err());
}
