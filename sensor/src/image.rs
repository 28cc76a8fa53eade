//! Header facts of ELF and PE images and scripts.

use object::{Object, ObjectSection};
use tracewell::catalog::{FileMode, Hardening, ImageFormat, Machine, ModuleImage};
use tracewell::{CorrelationId, Tracer, emit};

use crate::facts::FileFacts;
use crate::headers::{elf, headers};

/// So many bytes of an image are looked into.
pub(crate) const MAX_IMAGE: usize = 64 << 20;
const MAX_SECTIONS: usize = 64;

/// What stands in an image's headers.
#[derive(Debug, Default)]
pub(crate) struct ImageFacts {
    pub(crate) format: ImageFormat,
    pub(crate) machine: Option<Machine>,
    /// The number in the header, if it has no name.
    pub(crate) machine_number: Option<u16>,
    pub(crate) kind: Option<u16>,
    pub(crate) entry: Option<u64>,
    pub(crate) interpreter: Option<String>,
    pub(crate) first_line: Option<String>,
    pub(crate) build_id: Option<Vec<u8>>,
    pub(crate) sections: Vec<(String, u64, u64, u64, u64, f64)>,
    pub(crate) imports: Vec<String>,
    pub(crate) section_count: Option<u32>,
    pub(crate) import_count: Option<u32>,
    pub(crate) export_count: Option<u32>,
    pub(crate) hardening: Option<Hardening>,
    pub(crate) packers: Vec<&'static str>,
    pub(crate) subsystem: Option<u16>,
    pub(crate) image_base: Option<u64>,
    pub(crate) link_time: Option<u32>,
    pub(crate) dll_characteristics: Option<u16>,
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
        let line = String::from_utf8_lossy(line.get(..end).unwrap_or_default());
        facts.interpreter = line.split_whitespace().next().map(str::to_owned);
        facts.first_line = Some(format!("#!{}", line.trim_end()));
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
    facts.entry = Some(file.entry());
    facts.section_count = u32::try_from(file.sections().count()).ok();
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
        facts.import_count = u32::try_from(imports.count()).ok();
    }
    facts.export_count = file.exports().ok().and_then(|e| u32::try_from(e.count()).ok());
    headers(bytes, &mut facts);
    let mut hardening = Hardening::default();
    if facts.format == ImageFormat::Elf64 {
        elf(bytes, &mut facts, &mut hardening);
    }
    if matches!(facts.format, ImageFormat::Elf32 | ImageFormat::Elf64) && file.symbols().next().is_none() {
        hardening |= Hardening::STRIPPED;
    }
    // Of the others nothing was examined.
    if facts.format == ImageFormat::Elf64 {
        facts.hardening = Some(hardening);
    }
    // Where UPX puts it: behind the headers, and at the end. Anywhere else it is what a program says of UPX.
    let ends = [
        bytes.get(..1024).unwrap_or(bytes),
        bytes.get(bytes.len().saturating_sub(256)..).unwrap_or_default(),
    ];
    if ends.iter().any(|part| part.windows(4).any(|w| w == b"UPX!"))
        || facts.sections.iter().any(|s| s.0.starts_with("UPX"))
    {
        facts.packers.push("UPX");
    }
    if facts.sections.iter().any(|s| s.0.starts_with(".MPRESS")) {
        facts.packers.push("MPRESS");
    }
    facts
}

/// Emits the facts of an image.
pub(crate) fn report(
    tracer: &Tracer,
    path: &str,
    facts: &ImageFacts,
    sha256: [u8; 32],
    file: &FileFacts,
    correlation: CorrelationId,
) {
    let xattrs: Vec<&str> = file.xattrs.iter().map(String::as_str).collect();
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
            path,
            size: file.size,
            attributes: Some(file.attributes),
            mode: Some(FileMode(file.mode)),
            xattrs: &xattrs,
            created: file.created,
            modified: file.modified,
            inode: Some(file.inode),
            device: Some(file.device),
            owner: Some(file.uid),
            format: facts.format,
            machine: facts.machine,
            machine_number: facts.machine_number,
            kind: facts.kind,
            subsystem: facts.subsystem,
            dll_characteristics: facts.dll_characteristics,
            link_time: facts.link_time.map(|t| tracewell::Timestamp(i64::from(t) * 1_000_000_000)),
            entry: facts.entry,
            image_base: facts.image_base,
            section_count: facts.section_count,
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
            first_line: facts.first_line.as_deref(),
            build_id: facts.build_id.as_deref(),
            hardening: facts.hardening,
            packers: &facts.packers,
            correlation,
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
