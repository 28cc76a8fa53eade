//! The computer: board and firmware, processors, memory, disks, graphics, network cards, devices.

use std::collections::BTreeSet;

use procfs::{CpuInfo, FromRead, Meminfo};
use serde_json::{Value, json};

use super::context::{Context, MAX_TEXT};
use super::tree::{EntryKind, Tree};
use super::{Group, field};
use crate::member::Personal;

pub(super) const GROUP: Group = Group {
    name: "hardware",
    title: "Hardware",
    sections: &[
        ("machine", machine),
        ("cpu", cpu),
        ("memory", memory),
        ("disks", disks),
        ("file_systems", file_systems),
        ("graphics", graphics),
        ("network_cards", network_cards),
        ("pci_devices", pci_devices),
        ("usb_devices", usb_devices),
        ("batteries", batteries),
    ],
    personal: &[
        field("/data/machine/product_serial", "device"),
        field("/data/machine/board_serial", "device"),
        field("/data/machine/chassis_serial", "device"),
        field("/data/machine/product_uuid", "device"),
        field("/data/machine/board_asset_tag", "device"),
        field("/data/machine/chassis_asset_tag", "device"),
        field("/data/machine/bios_version", "public"),
        field("/data/disks/*/serial", "device"),
        field("/data/disks/*/wwid", "device"),
        field("/data/file_systems/*/source", "path"),
        field("/data/file_systems/*/target", "path"),
        field("/data/network_cards/*/mac", "device"),
        field("/data/network_cards/*/permanent_mac", "device"),
        field("/data/usb_devices/*/serial", "device"),
        field("/data/batteries/*/serial", "device"),
    ],
    holds: &[Personal::Device, Personal::Address, Personal::Path, Personal::UserName, Personal::HostName],
};

/// Bytes of a sector, as `/sys/block/*/size` counts them whatever the disk has.
const SECTOR: i64 = 512;

fn machine(context: &Context) -> Value {
    const DMI: [&str; 19] = [
        "sys_vendor",
        "product_name",
        "product_version",
        "product_family",
        "product_sku",
        "product_serial",
        "product_uuid",
        "board_vendor",
        "board_name",
        "board_version",
        "board_serial",
        "board_asset_tag",
        "chassis_vendor",
        "chassis_type",
        "chassis_serial",
        "chassis_asset_tag",
        "bios_vendor",
        "bios_version",
        "bios_date",
    ];
    let mut machine = serde_json::Map::new();
    let dmi = "/sys/class/dmi/id";
    if context.root().has(dmi) {
        for name in DMI {
            machine.insert(name.into(), json!(context.value(&format!("{dmi}/{name}"))));
        }
    } else {
        context.problem(dmi, "not found: the firmware gives no such table");
    }
    // Computers without such tables have a device tree.
    machine.insert("device_tree_model".into(), json!(context.value("/proc/device-tree/model")));
    let is_efi = context.root().has("/sys/firmware/efi");
    machine.insert("firmware".into(), json!(if is_efi { "efi" } else { "bios or other" }));
    machine.insert("secure_boot".into(), json!(if is_efi { secure_boot(context) } else { None }));
    machine.insert("hypervisor".into(), json!(context.value("/sys/hypervisor/type")));
    machine.insert("tpm_version".into(), json!(context.number("/sys/class/tpm/tpm0/tpm_version_major")));
    Value::Object(machine)
}

/// The firmware's variable: four bytes of attributes, then 0 or 1.
fn secure_boot(context: &Context) -> Option<bool> {
    let folder = "/sys/firmware/efi/efivars";
    let name = context.list(folder).into_iter().find(|e| e.name.starts_with("SecureBoot-"))?.name;
    let content = context.read(context.root(), &format!("{folder}/{name}"), 16)?;
    content.bytes.get(4).map(|b| *b == 1)
}

fn cpu(context: &Context) -> Value {
    let Some(text) = context.text("/proc/cpuinfo") else {
        context.problem("/proc/cpuinfo", "not found");
        return Value::Null;
    };
    // The parser wants at least one block.
    let info = text.contains(':').then(|| CpuInfo::from_read(text.as_bytes()).ok()).flatten();
    let Some(info) = info else {
        context.problem("/proc/cpuinfo", "it is of a form that is not known");
        return Value::Null;
    };
    let get = |name: &str| info.get_field(0, name).map(str::to_owned);
    let distinct = |names: &[&str]| {
        let of = |cpu: usize| -> Option<Vec<&str>> { names.iter().map(|n| info.get_field(cpu, n)).collect() };
        let all: BTreeSet<Vec<&str>> = (0..info.num_cores()).filter_map(of).collect();
        (!all.is_empty()).then_some(all.len())
    };
    let vulnerabilities: serde_json::Map<String, Value> = context
        .list("/sys/devices/system/cpu/vulnerabilities")
        .into_iter()
        .filter_map(|e| {
            let state = context.value(&format!("/sys/devices/system/cpu/vulnerabilities/{}", e.name))?;
            Some((e.name, json!(state)))
        })
        .collect();
    let cpufreq = "/sys/devices/system/cpu/cpu0/cpufreq";
    json!({
        "name": get("model name").or_else(|| get("Processor")).or_else(|| get("Hardware")),
        "vendor": get("vendor_id").or_else(|| get("CPU implementer")),
        "family": get("cpu family"),
        "model": get("model").or_else(|| get("CPU part")),
        "stepping": get("stepping"),
        "microcode": get("microcode"),
        "threads": info.num_cores(),
        "cores": distinct(&["physical id", "core id"]),
        "sockets": distinct(&["physical id"]),
        "online": context.value("/sys/devices/system/cpu/online"),
        "max_khz": context.number(&format!("{cpufreq}/cpuinfo_max_freq")),
        "governor": context.value(&format!("{cpufreq}/scaling_governor")),
        "mhz_now": get("cpu MHz"),
        "cache": get("cache size"),
        "flags": get("flags").or_else(|| get("Features")),
        "vulnerabilities": vulnerabilities,
        "smt": context.value("/sys/devices/system/cpu/smt/control"),
    })
}

fn memory(context: &Context) -> Value {
    let text = context.text("/proc/meminfo").unwrap_or_default();
    match Meminfo::from_read(text.as_bytes()) {
        Ok(m) => json!({
            "ram_bytes": m.mem_total,
            "available_bytes": m.mem_available,
            "swap_bytes": m.swap_total,
            "swap_free_bytes": m.swap_free,
            "committed_bytes": m.committed_as,
            "huge_pages": m.hugepages_total,
            "zram": context.list("/sys/block").iter().filter(|e| e.name.starts_with("zram")).count(),
        }),
        Err(_) => {
            context.problem("/proc/meminfo", "not found, or of a form that is not known");
            Value::Null
        }
    }
}

fn disks(context: &Context) -> Value {
    let mut all = Vec::new();
    let names = context.list("/sys/block");
    if names.is_empty() {
        context.problem("/sys/block", "not found, or empty");
    }
    for entry in context.in_time("disks", names) {
        let disk = format!("/sys/block/{}", entry.name);
        let size = context.number(&format!("{disk}/size")).unwrap_or_default();
        // Loop and RAM disks that nothing is behind.
        if size == 0 {
            continue;
        }
        let partitions: Vec<Value> = context
            .list(&disk)
            .into_iter()
            .filter(|e| e.kind == EntryKind::Folder)
            .filter_map(|e| {
                let at = format!("{disk}/{}", e.name);
                let _: i64 = context.number(&format!("{at}/partition"))?;
                let bytes = context.number(&format!("{at}/size"))? * SECTOR;
                Some(json!({"name": e.name, "bytes": bytes}))
            })
            .collect();
        let flag = |name: &str| context.number(&format!("{disk}/{name}")).map(|n| n != 0);
        all.push(json!({
            "name": entry.name,
            "bytes": size.saturating_mul(SECTOR),
            "vendor": context.value(&format!("{disk}/device/vendor")),
            "model": context.value(&format!("{disk}/device/model")),
            "revision": context.value(&format!("{disk}/device/rev"))
                .or_else(|| context.value(&format!("{disk}/device/firmware_rev"))),
            "serial": context.value(&format!("{disk}/device/serial"))
                .or_else(|| context.value(&format!("{disk}/serial"))),
            "wwid": context.value(&format!("{disk}/wwid"))
                .or_else(|| context.value(&format!("{disk}/device/wwid"))),
            "rotational": flag("queue/rotational"),
            "removable": flag("removable"),
            "read_only": flag("ro"),
            "driver": driver(context, &format!("{disk}/device")),
            "scheduler": context.value(&format!("{disk}/queue/scheduler")),
            "backing_file": context.value(&format!("{disk}/loop/backing_file")),
            "partitions": partitions,
        }));
    }
    json!(all)
}

/// How full the file systems are that lie on a device.
fn file_systems(context: &Context) -> Value {
    let mounts = super::kernel::mount_infos(context);
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for mount in context.in_time("file systems", mounts) {
        let source = mount.mount_source.unwrap_or_default();
        let is_disk =
            source.starts_with("/dev/") || ["tmpfs", "zfs", "overlay"].contains(&mount.fs_type.as_str());
        if !is_disk || !seen.insert(mount.majmin.clone()) {
            continue;
        }
        let target = mount.mount_point.to_string_lossy().into_owned();
        match context.root().space(&target) {
            Ok(space) => all.push(json!({
                "source": source,
                "target": target,
                "type": mount.fs_type,
                "bytes": space.f_blocks.saturating_mul(space.f_frsize),
                "free_bytes": space.f_bavail.saturating_mul(space.f_frsize),
                "inodes": space.f_files,
                "free_inodes": space.f_favail,
            })),
            Err(e) => context.error(&target, &e),
        }
    }
    json!(all)
}

/// The name of the driver that a device is bound to.
fn driver(context: &Context, device: &str) -> Option<String> {
    let target = context.root().link(&format!("{device}/driver")).ok()?;
    target.rsplit('/').next().map(str::to_owned)
}

fn graphics(context: &Context) -> Value {
    let drm = "/sys/class/drm";
    let mut cards: Vec<Value> = Vec::new();
    for entry in context.list(drm).into_iter().filter(|e| e.name.starts_with("card")) {
        if let Some((card, connector)) = entry.name.split_once('-') {
            let status = context.value(&format!("{drm}/{}/status", entry.name));
            let mode = context.value(&format!("{drm}/{}/modes", entry.name));
            let mode = mode.and_then(|m| m.lines().next().map(str::to_owned));
            cards.push(json!({"connector": connector, "card": card, "status": status, "mode": mode}));
        } else {
            let device = format!("{drm}/{}/device", entry.name);
            cards.push(json!({
                "card": entry.name,
                "vendor_id": context.value(&format!("{device}/vendor")),
                "device_id": context.value(&format!("{device}/device")),
                "driver": driver(context, &device),
                "boot_vga": context.number(&format!("{device}/boot_vga")),
                "memory_bytes": context.number(&format!("{device}/mem_info_vram_total")),
            }));
        }
    }
    let framebuffers = context.value("/proc/fb");
    let nvidia = context.value("/proc/driver/nvidia/version");
    json!({"devices": cards, "framebuffers": framebuffers, "nvidia_driver": nvidia})
}

fn network_cards(context: &Context) -> Value {
    let net = "/sys/class/net";
    let cards = context.list(net).into_iter().filter(|e| e.kind != EntryKind::File).map(|entry| {
        let card = format!("{net}/{}", entry.name);
        let value = |name: &str| context.value(&format!("{card}/{name}"));
        let statistics: serde_json::Map<String, Value> =
            ["rx_bytes", "rx_errors", "rx_dropped", "tx_bytes", "tx_errors", "tx_dropped"]
                .into_iter()
                .map(|name| (name.to_owned(), json!(context.number(&format!("{card}/statistics/{name}")))))
                .collect();
        json!({
            "name": entry.name,
            "mac": value("address"),
            "permanent_mac": value("perm_address"),
            "state": value("operstate"),
            "mtu": context.number(&format!("{card}/mtu")),
            "speed_mbit": context.number(&format!("{card}/speed")).filter(|speed| *speed > 0),
            "duplex": value("duplex"),
            "driver": driver(context, &format!("{card}/device")),
            "is_physical": context.root().has(&format!("{card}/device")),
            "is_wireless": context.root().has(&format!("{card}/wireless")),
            "kind": context.text(&format!("{card}/uevent")).and_then(|text| {
                text.lines().find_map(|l| l.strip_prefix("DEVTYPE=")).map(str::to_owned)
            }),
            "statistics": statistics,
        })
    });
    json!(cards.collect::<Vec<_>>())
}

fn pci_devices(context: &Context) -> Value {
    let pci = "/sys/bus/pci/devices";
    let all = context.list(pci);
    if all.is_empty() {
        context.problem(pci, "not found, or no devices");
        return Value::Null;
    }
    let devices = context.in_time("PCI devices", all).map(|entry| {
        let device = format!("{pci}/{}", entry.name);
        let value = |name: &str| context.value(&format!("{device}/{name}"));
        json!({
            "address": entry.name,
            "class": value("class"),
            "vendor_id": value("vendor"),
            "device_id": value("device"),
            "subsystem_vendor_id": value("subsystem_vendor"),
            "subsystem_device_id": value("subsystem_device"),
            "revision": value("revision"),
            "driver": driver(context, &device),
        })
    });
    json!(devices.collect::<Vec<_>>())
}

fn usb_devices(context: &Context) -> Value {
    let usb = "/sys/bus/usb/devices";
    if !context.root().has(usb) {
        context.problem(usb, "not found: there is no USB");
        return Value::Null;
    }
    // Names with a colon are interfaces of a device.
    let all = context.list(usb).into_iter().filter(|e| !e.name.contains(':'));
    let devices = context.in_time("USB devices", all).map(|entry| {
        let device = format!("{usb}/{}", entry.name);
        let value = |name: &str| context.value(&format!("{device}/{name}"));
        let drivers: BTreeSet<String> = context
            .list(&device)
            .iter()
            .filter(|e| e.name.contains(':'))
            .filter_map(|e| driver(context, &format!("{device}/{}", e.name)))
            .collect();
        json!({
            "address": entry.name,
            "vendor_id": value("idVendor"),
            "product_id": value("idProduct"),
            "manufacturer": value("manufacturer"),
            "product": value("product"),
            "serial": value("serial"),
            "class": value("bDeviceClass"),
            "speed_mbit": value("speed"),
            "drivers": drivers,
        })
    });
    json!(devices.collect::<Vec<_>>())
}

fn batteries(context: &Context) -> Value {
    let power = "/sys/class/power_supply";
    let all = context.list(power).into_iter().map(|entry| {
        let value = |name: &str| context.value(&format!("{power}/{}/{name}", entry.name));
        json!({
            "name": entry.name,
            "type": value("type"),
            "status": value("status"),
            "capacity_percent": value("capacity"),
            "cycles": value("cycle_count"),
            "manufacturer": value("manufacturer"),
            "model": value("model_name"),
            "serial": value("serial_number"),
            "energy_full_uwh": value("energy_full"),
            "energy_full_design_uwh": value("energy_full_design"),
        })
    });
    json!(all.collect::<Vec<_>>())
}

/// Reads one of the kernel's tables with a parser of crate `procfs`; cut at the last whole line.
pub(super) fn table<T>(
    context: &Context,
    tree: &Tree,
    path: &str,
    parse: impl FnOnce(&[u8]) -> procfs::ProcResult<T>,
) -> Option<T> {
    let content = context.read(tree, path, 16 * MAX_TEXT)?;
    let mut bytes = content.bytes.as_slice();
    if content.is_cut {
        let end = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        bytes = bytes.get(..end).unwrap_or_default();
    }
    match parse(bytes) {
        Ok(parsed) => Some(parsed),
        Err(e) => {
            context.problem(&tree.shown(path), &format!("it is of a form that is not known: {e}"));
            None
        }
    }
}
