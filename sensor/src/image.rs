//! Header facts of ELF and PE images and scripts.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use object::read::elf::FileHeader as _;
use object::{Object, ObjectSection, ObjectSymbol};
use tracewell::catalog::{Hardening, ImageFormat, ModuleImage};
use tracewell::{Tracer, emit};

use crate::facts::FileFacts;

/// Largest image that is looked into.
const MAX_IMAGE: u64 = 64 << 20;
const MAX_SECTIONS: usize = 64;

/// The bytes of an image, if it is not too large.
pub(crate) fn read(path: &Path) -> Option<Vec<u8>> {
    let file = File::open(path).ok()?;
    if file.metadata().ok()?.len() > MAX_IMAGE {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(MAX_IMAGE).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// What stands in an image's headers.
#[derive(Debug, Default)]
pub(crate) struct ImageFacts {
    pub(crate) format: ImageFormat,
    pub(crate) machine: u16,
    pub(crate) kind: u16,
    pub(crate) entry: u64,
    pub(crate) interpreter: Option<String>,
    pub(crate) build_id: Option<Vec<u8>>,
    pub(crate) sections: Vec<(String, u64, u64, u64, u64, f64)>,
    pub(crate) imports: Vec<String>,
    pub(crate) import_count: u32,
    pub(crate) export_count: u32,
    pub(crate) hardening: Hardening,
    pub(crate) packers: Vec<&'static str>,
    pub(crate) subsystem: Option<u16>,
    pub(crate) image_base: Option<u64>,
    pub(crate) link_time: Option<u32>,
}

fn entropy(bytes: &[u8]) -> f64 {
    if bytes.is_empty() {
        return 0.0;
    }
    let mut counts = [0_u32; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let total = bytes.len() as f64;
    let sum: f64 = counts
        .iter()
        .filter(|c| **c != 0)
        .map(|c| {
            let p = f64::from(*c) / total;
            -p * p.log2()
        })
        .sum();
    (sum * 100.0).round() / 100.0
}

/// Looks into an image; whatever its bytes are, this returns.
pub(crate) fn facts(bytes: &[u8]) -> ImageFacts {
    let mut facts = ImageFacts::default();
    if let Some(line) = bytes.strip_prefix(b"#!") {
        facts.format = ImageFormat::Script;
        let end = line.iter().position(|b| *b == b'\n').unwrap_or(line.len()).min(256);
        facts.interpreter =
            Some(String::from_utf8_lossy(line.get(..end).unwrap_or_default()).trim().to_owned());
        return facts;
    }
    let Ok(kind) = object::FileKind::parse(bytes) else { return facts };
    facts.format = match kind {
        object::FileKind::Elf32 => ImageFormat::Elf32,
        object::FileKind::Elf64 => ImageFormat::Elf64,
        object::FileKind::Pe32 => ImageFormat::Pe32,
        object::FileKind::Pe64 => ImageFormat::Pe64,
        _ => return facts,
    };
    let Ok(file) = object::File::parse(bytes) else { return facts };
    facts.entry = file.entry();
    facts.build_id = file.build_id().ok().flatten().map(<[u8]>::to_vec);
    for section in file.sections().take(MAX_SECTIONS) {
        let (_, raw) = section.file_range().unwrap_or((0, 0));
        let flags = match section.flags() {
            object::SectionFlags::Elf { sh_flags, .. } => sh_flags.0,
            object::SectionFlags::Coff { characteristics, .. } => u64::from(characteristics.0),
            _ => 0,
        };
        let name = section.name().unwrap_or("?").chars().take(64).collect();
        let data = section.data().unwrap_or_default();
        facts.sections.push((name, section.address(), section.size(), raw, flags, entropy(data)));
    }
    if let Ok(imports) = file.imports() {
        facts.import_count = u32::try_from(imports.count()).unwrap_or(u32::MAX);
    }
    facts.export_count = file.exports().map_or(0, |e| u32::try_from(e.count()).unwrap_or(u32::MAX));
    elf(bytes, &mut facts);
    let _ = file.symbols().next().map(|s| s.address());
    if file.symbols().next().is_none() {
        facts.hardening |= Hardening::STRIPPED;
    }
    if bytes.windows(4).take(1 << 20).any(|w| w == b"UPX!")
        || facts.sections.iter().any(|s| s.0.starts_with("UPX"))
    {
        facts.packers.push("UPX");
    }
    if facts.sections.iter().any(|s| s.0.starts_with(".MPRESS")) {
        facts.packers.push("MPRESS");
    }
    facts
}

fn elf(bytes: &[u8], facts: &mut ImageFacts) {
    let u16_at = |at: usize| bytes.get(at..at + 2).map_or(0, |b| u16::from_le_bytes([b[0], b[1]]));
    match facts.format {
        ImageFormat::Elf32 | ImageFormat::Elf64 => {
            facts.kind = u16_at(16);
            facts.machine = u16_at(18);
        }
        ImageFormat::Pe32 | ImageFormat::Pe64 => {
            let u32_at =
                |at: usize| bytes.get(at..at + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            let at = u32_at(0x3c) as usize;
            facts.machine = u16_at(at.saturating_add(4));
            facts.kind = u16_at(at.saturating_add(22));
            facts.link_time = Some(u32_at(at.saturating_add(8)));
            facts.subsystem = Some(u16_at(at.saturating_add(24 + 68)));
            let base_at = at.saturating_add(24 + if facts.format == ImageFormat::Pe64 { 24 } else { 28 });
            facts.image_base = Some(u64::from(u32_at(base_at)));
        }
        _ => {}
    }
    if facts.format == ImageFormat::Elf64 {
        use object::elf;
        use object::read::elf::{Dyn as _, ProgramHeader as _};
        let Ok(header) = elf::FileHeader64::<object::Endianness>::parse(bytes) else { return };
        let Ok(endian) = header.endian() else { return };
        if header.e_type(endian) == elf::ET_DYN {
            facts.hardening |= Hardening::PIE;
        }
        for segment in header.program_headers(endian, bytes).unwrap_or_default() {
            if let Ok(Some(path)) = segment.interpreter(endian, bytes) {
                facts.interpreter = Some(String::from_utf8_lossy(path).into_owned());
            }
            if segment.p_type(endian) == elf::PT_GNU_RELRO {
                facts.hardening |= Hardening::RELRO;
            }
            if segment.p_type(endian) == elf::PT_GNU_STACK
                && segment.p_flags(endian) & elf::PF_X == Default::default()
            {
                facts.hardening |= Hardening::NX;
            }
        }
        let Ok(sections) = header.sections(endian, bytes) else { return };
        if let Ok(Some((dynamic, strings))) = sections.dynamic(endian, bytes) {
            let strings = sections.strings(endian, bytes, strings).unwrap_or_default();
            for entry in dynamic {
                if entry.tag(endian) == elf::DT_NEEDED
                    && let Ok(name) = entry.string(endian, strings)
                    && facts.imports.len() < 256
                {
                    facts.imports.push(String::from_utf8_lossy(name).into_owned());
                }
                if entry.tag(endian) == elf::DT_BIND_NOW {
                    facts.hardening |= Hardening::BIND_NOW;
                }
            }
        }
    }
}

/// Emits the facts of an image.
pub(crate) fn report(tracer: &Tracer, path: &Path, bytes: &[u8], sha256: [u8; 32], file: &FileFacts) {
    let facts = facts(bytes);
    let path = path.to_string_lossy();
    let names: Vec<&str> = facts.sections.iter().map(|s| s.0.as_str()).collect();
    let addresses: Vec<u64> = facts.sections.iter().map(|s| s.1).collect();
    let sizes: Vec<u64> = facts.sections.iter().map(|s| s.2).collect();
    let raw_sizes: Vec<u64> = facts.sections.iter().map(|s| s.3).collect();
    let flags: Vec<u64> = facts.sections.iter().map(|s| s.4).collect();
    let entropies: Vec<f64> = facts.sections.iter().map(|s| s.5).collect();
    let imports: Vec<&str> = facts.imports.iter().map(String::as_str).collect();
    emit!(
        tracer,
        ModuleImage {
            sha256,
            path: &path,
            size: file.size,
            attributes: file.attributes,
            mode: file.mode,
            created: file.created,
            modified: file.modified,
            inode: file.inode,
            device: file.device,
            owner: file.uid,
            format: facts.format,
            machine: facts.machine,
            kind: facts.kind,
            subsystem: facts.subsystem,
            link_time: facts.link_time.map(|t| tracewell::Timestamp(i64::from(t) * 1_000_000_000)),
            entry: facts.entry,
            image_base: facts.image_base,
            section_names: &names,
            section_addresses: &addresses,
            section_sizes: &sizes,
            section_raw_sizes: &raw_sizes,
            section_flags: &flags,
            section_entropy: &entropies,
            imports: &imports,
            import_count: facts.import_count,
            export_count: facts.export_count,
            interpreter: facts.interpreter.as_deref(),
            build_id: facts.build_id.as_deref(),
            hardening: facts.hardening,
            packers: &facts.packers,
            packer_confidence: (!facts.packers.is_empty()).then_some(90),
            ..Default::default()
        }
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_is_an_elf_file_and_hostile_ones_do_no_harm() {
        let bytes = std::fs::read("/proc/self/exe").unwrap();
        let facts = facts(&bytes);
        assert_eq!(facts.format, ImageFormat::Elf64);
        assert!(facts.imports.iter().any(|i| i.starts_with("libc.so")), "{:?}", facts.imports);
        assert!(facts.sections.iter().any(|s| s.0 == ".text"));
        assert!(facts.interpreter.is_some_and(|i| i.contains("ld-linux")));
        let head = &bytes[..bytes.len().min(1 << 16)];
        for len in (0..4096).step_by(7) {
            super::facts(&head[..len.min(head.len())]);
        }
        let mut changed = head.to_vec();
        for at in 0..512 {
            changed[at] ^= 0xff;
            super::facts(&changed);
            changed[at] ^= 0xff;
        }
        assert_eq!(super::facts(b"#!/bin/sh\n").interpreter.as_deref(), Some("/bin/sh"));
    }
}
