//! Hostile dumps: text or an error, never a panic, never more memory than the file is worth.

use super::*;

/// A core with these notes and one range of memory.
fn core_of(notes: &[u8], count: u16, load: (u64, u64)) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(16, 0);
    bytes.extend(4_u16.to_le_bytes());
    bytes.extend(62_u16.to_le_bytes());
    bytes.extend(1_u32.to_le_bytes());
    for number in [0_u64, 64, 0] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(0_u32.to_le_bytes());
    for number in [64_u16, 56, count, 0, 0, 0] {
        bytes.extend(number.to_le_bytes());
    }
    let at = 64 + 2 * 56;
    for (kind, offset, address, len) in
        [(4_u32, at, 0, notes.len() as u64), (1, at + notes.len() as u64, load.0, load.1)]
    {
        bytes.extend(kind.to_le_bytes());
        bytes.extend(6_u32.to_le_bytes());
        for number in [offset, address, 0, len, len, 4] {
            bytes.extend(number.to_le_bytes());
        }
    }
    bytes.extend(notes);
    bytes
}

fn note(name: &str, kind: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in [name.len() as u32 + 1, content.len() as u32, kind] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(name.as_bytes());
    bytes.resize(bytes.len() + 4 - name.len() % 4, 0);
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn read(kind: Kind, mut bytes: &[u8]) -> io::Result<String> {
    let mut out = Vec::new();
    DumpSummary::read(kind, &mut bytes)?.write_text(&mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

fn status(tid: u32, stack: u64) -> Vec<u8> {
    let mut bytes = vec![0; 336];
    bytes[32..36].copy_from_slice(&tid.to_le_bytes());
    bytes[112 + 19 * 8..112 + 20 * 8].copy_from_slice(&stack.to_le_bytes());
    note("CORE", 1, &bytes)
}

#[test]
fn a_core_is_told_and_nothing_in_it_steers_a_terminal() {
    let facts = br#"{"component":"a\u001b[31mb","pid":7,"reason":"on request","threads":[{"tid":9,"name":"x\u0007y"}],
        "left_out":[{"start":4096,"len":8192,"why":"rings"}]}"#;
    let mut notes = status(9, 0x1010);
    notes.extend(note("TRACEWELL", 1, facts));
    let mut bytes = core_of(&notes, 2, (0x1000, 64));
    bytes.extend([7; 64]);
    let text = read(Kind::Core, &bytes).unwrap();
    for part in [
        "whole memory of a\\u{1b}[31mb process 7",
        "x\\u{7}y",
        "48 B of stack",
        "8.0 KiB left out",
        "rings",
        "64 B of memory",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
    assert!(!text.contains("cut"));
    let text = read(Kind::Core, &bytes[..bytes.len() - 10]).unwrap();
    assert!(text.contains("it is cut: 10 bytes"), "{text}");
}

#[test]
fn damaged_cores_are_text_or_an_error() {
    let mut notes = status(9, 0x1010);
    notes.extend(note("CORE", 0x4649_4c45, &[0xff; 100]));
    let whole = core_of(&notes, 2, (0x1000, 64));
    for len in 0..whole.len() {
        let _ = read(Kind::Core, &whole[..len]);
    }
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..20_000 {
        let mut bytes = whole.clone();
        for _ in 0..3 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = (seed >> 33) as usize % bytes.len();
            bytes[at] = (seed >> 20) as u8;
        }
        let _ = read(Kind::Core, &bytes);
    }
    // Lengths that no memory has.
    let huge = core_of(&[], 2, (0, u64::MAX));
    assert!(read(Kind::Core, &huge).unwrap().contains("it is cut"));
    assert!(read(Kind::Core, &core_of(&[], u16::MAX, (0, 0))).is_err());
    assert!(read(Kind::Core, b"not one").is_err());
}

/// A minidump with one stream of this kind.
fn minidump_of(kind: u32, stream: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut bytes = b"MDMP".to_vec();
    for number in [0xa793_u32, 1, 32, 0, 0, 0, 0] {
        bytes.extend(number.to_le_bytes());
    }
    for number in [kind, stream.len() as u32, 44] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(stream);
    bytes.extend(rest);
    bytes
}

#[test]
fn a_minidump_that_names_one_long_text_again_and_again_is_refused() {
    // 12,000 threads of one name of 2 MiB would be 24 GB.
    let count = 12_000_u32;
    let name_at = 44 + 4 + count * 12;
    let mut stream = count.to_le_bytes().to_vec();
    for tid in 0..count {
        stream.extend(tid.to_le_bytes());
        stream.extend(u64::from(name_at).to_le_bytes());
    }
    let mut name = (2_u32 << 20).to_le_bytes().to_vec();
    name.resize(4 + (2 << 20), b'a');
    let error = read(Kind::Minidump, &minidump_of(24, &stream, &name)).unwrap_err();
    assert!(error.to_string().contains("makes no sense"), "{error}");
    // The same for modules.
    let count = 5_000_u32;
    let mut stream = count.to_le_bytes().to_vec();
    for _ in 0..count {
        let mut module = [0; 108];
        module[20..24].copy_from_slice(&(44 + 4 + count * 108).to_le_bytes());
        stream.extend(module);
    }
    assert!(read(Kind::Minidump, &minidump_of(4, &stream, &name)).is_err());
    // And of build ids.
    let mut stream = count.to_le_bytes().to_vec();
    for _ in 0..count {
        let mut module = [0; 108];
        module[76..80].copy_from_slice(&(1_u32 << 20).to_le_bytes());
        module[80..84].copy_from_slice(&44_u32.to_le_bytes());
        stream.extend(module);
    }
    assert!(read(Kind::Minidump, &minidump_of(4, &stream, &name)).is_err());
}

#[test]
fn damaged_minidumps_are_text_or_an_error() {
    assert!(read(Kind::Minidump, b"").is_err());
    assert!(read(Kind::Minidump, b"MDMP").is_err());
    let text = read(Kind::Minidump, &minidump_of(3, &[0; 4], &[])).unwrap();
    assert!(text.contains("minidump of unknown") && text.contains("0 threads"), "{text}");
    let whole = minidump_of(3, &[1; 400], &[3; 400]);
    let mut seed = 1_u64;
    for round in 0..20_000 {
        let mut bytes = whole.clone();
        for _ in 0..4 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = (seed >> 33) as usize % bytes.len();
            bytes[at] = (seed >> 20) as u8;
        }
        bytes.truncate(bytes.len() - round % 300);
        let _ = read(Kind::Minidump, &bytes);
    }
}
