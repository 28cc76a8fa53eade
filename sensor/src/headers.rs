//! Headers of ELF and PE files.

use object::read::elf::FileHeader as _;
use tracewell::catalog::{Hardening, ImageFormat, Machine};

use crate::image::ImageFacts;

/// What the headers say at fixed places.
pub(crate) fn headers(bytes: &[u8], facts: &mut ImageFacts) {
    let u16_at =
        |at: usize| bytes.get(at..at.checked_add(2)?)?.first_chunk::<2>().map(|b| u16::from_le_bytes(*b));
    let u32_at =
        |at: usize| bytes.get(at..at.checked_add(4)?)?.first_chunk::<4>().map(|b| u32::from_le_bytes(*b));
    let number = match facts.format {
        ImageFormat::Elf32 | ImageFormat::Elf64 => {
            let is_other_order = bytes.get(5) == Some(&2);
            let order = |n: u16| if is_other_order { n.swap_bytes() } else { n };
            facts.kind = u16_at(16).map(order);
            u16_at(18).map(order)
        }
        ImageFormat::Pe32 | ImageFormat::Pe64 => {
            let at = u32_at(0x3c).unwrap_or(0) as usize;
            facts.kind = u16_at(at.saturating_add(22));
            facts.link_time = u32_at(at.saturating_add(8));
            facts.subsystem = u16_at(at.saturating_add(24 + 68));
            facts.dll_characteristics = u16_at(at.saturating_add(24 + 70));
            facts.image_base = if facts.format == ImageFormat::Pe64 {
                let at = at.saturating_add(24 + 24);
                u32_at(at)
                    .zip(u32_at(at.saturating_add(4)))
                    .map(|(low, high)| u64::from(low) | u64::from(high) << 32)
            } else {
                u32_at(at.saturating_add(24 + 28)).map(u64::from)
            };
            u16_at(at.saturating_add(4))
        }
        _ => return,
    };
    facts.machine = number.map(machine);
    facts.machine_number = number.filter(|n| machine(*n) == Machine::Unknown);
}

/// The numbers of ELF (e_machine) and of PE do not overlap.
fn machine(number: u16) -> Machine {
    match number {
        3 | 0x14c => Machine::X86,
        62 | 0x8664 => Machine::X86_64,
        40 | 0x1c0 | 0x1c4 => Machine::Arm,
        183 | 0xaa64 => Machine::Aarch64,
        243 | 0x5032 | 0x5064 => Machine::RiscV,
        258 | 0x6232 | 0x6264 => Machine::LoongArch,
        21 => Machine::Ppc64,
        22 => Machine::S390,
        8 | 0x166 => Machine::Mips,
        _ => Machine::Unknown,
    }
}

/// What the program headers and the dynamic section of an ELF file say.
pub(crate) fn elf(bytes: &[u8], facts: &mut ImageFacts, hardening: &mut Hardening) {
    use object::elf;
    use object::read::elf::{Dyn as _, ProgramHeader as _};
    let Ok(header) = elf::FileHeader64::<object::Endianness>::parse(bytes) else { return };
    let Ok(endian) = header.endian() else { return };
    if header.e_type(endian) == elf::ET_DYN {
        *hardening |= Hardening::PIE;
    }
    for segment in header.program_headers(endian, bytes).unwrap_or_default() {
        if let Ok(Some(path)) = segment.interpreter(endian, bytes) {
            facts.interpreter = Some(String::from_utf8_lossy(path).into_owned());
        }
        if segment.p_type(endian) == elf::PT_GNU_RELRO {
            *hardening |= Hardening::RELRO;
        }
        if segment.p_type(endian) == elf::PT_GNU_STACK
            && segment.p_flags(endian) & elf::PF_X == Default::default()
        {
            *hardening |= Hardening::NX;
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
                *hardening |= Hardening::BIND_NOW;
            }
        }
    }
}
