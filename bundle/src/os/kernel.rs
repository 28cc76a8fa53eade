//! The kernel and its objects: parameters, taint, security modules, mounts, namespaces, programs of eBPF, IPC.

use std::collections::BTreeMap;

use procfs::FromRead;
use procfs::process::{MountInfo, MountInfos};
use serde_json::{Map, Value, json};

use super::context::Context;
use super::hardware::table;
use super::tree::EntryKind;
use super::{Group, field};
use crate::member::Personal;

pub(super) const GROUP: Group = Group {
    name: "kernel",
    title: "Kernel and its objects",
    sections: &[
        ("parameters", parameters),
        ("taint", taint),
        ("security", security),
        ("mounts", mounts),
        ("namespaces", namespaces),
        ("cgroups", cgroups),
        ("bpf", bpf),
        ("ipc", ipc),
        ("crypto", crypto),
    ],
    personal: &[
        field("/data/parameters/command_line", "path"),
        field("/data/parameters/sysctl/kernel.hostname", "host"),
        field("/data/parameters/sysctl/kernel.domainname", "host"),
        field("/data/mounts/*/source", "path"),
        field("/data/mounts/*/target", "path"),
        field("/data/mounts/*/options/*", "path"),
        field("/data/ipc/shared_memory/*/uid", "user-id"),
        field("/data/ipc/shm_files/*/name", "path"),
    ],
    holds: &[Personal::Path, Personal::HostName, Personal::UserName, Personal::Program],
};

/// Parameters that decide what programs may do, and a few that explain trouble.
const SYSCTL: [&str; 46] = [
    "fs.file-max",
    "fs.protected_fifos",
    "fs.protected_hardlinks",
    "fs.protected_regular",
    "fs.protected_symlinks",
    "fs.suid_dumpable",
    "kernel.apparmor_restrict_unprivileged_userns",
    "kernel.core_pattern",
    "kernel.core_uses_pid",
    "kernel.dmesg_restrict",
    "kernel.domainname",
    "kernel.hostname",
    "kernel.io_uring_disabled",
    "kernel.kexec_load_disabled",
    "kernel.kptr_restrict",
    "kernel.modules_disabled",
    "kernel.osrelease",
    "kernel.panic",
    "kernel.panic_on_oops",
    "kernel.perf_event_paranoid",
    "kernel.printk",
    "kernel.randomize_va_space",
    "kernel.seccomp.actions_logged",
    "kernel.shmmax",
    "kernel.sysrq",
    "kernel.unprivileged_bpf_disabled",
    "kernel.unprivileged_userns_clone",
    "kernel.yama.ptrace_scope",
    "net.core.bpf_jit_enable",
    "net.core.bpf_jit_harden",
    "net.core.somaxconn",
    "net.ipv4.conf.all.accept_redirects",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.ip_forward",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_congestion_control",
    "net.ipv4.tcp_syncookies",
    "net.ipv6.conf.all.disable_ipv6",
    "net.ipv6.conf.all.forwarding",
    "user.max_user_namespaces",
    "vm.max_map_count",
    "vm.mmap_min_addr",
    "vm.overcommit_memory",
    "vm.swappiness",
];

fn parameters(context: &Context) -> Value {
    let mut sysctl = Map::new();
    for name in SYSCTL {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        if let Some(value) = context.value(&path) {
            sysctl.insert(name.into(), json!(value));
        }
    }
    if sysctl.is_empty() {
        context.problem("/proc/sys", "not found");
    }
    let folders = ["/etc/sysctl.d", "/run/sysctl.d", "/usr/lib/sysctl.d"];
    let files: Vec<String> = folders
        .iter()
        .flat_map(|folder| super::words::files_in(context, context.root(), folder, ".conf"))
        .collect();
    json!({
        "command_line": context.value("/proc/cmdline"),
        "sysctl": sysctl,
        "sysctl_files": files,
        "transparent_huge_pages": context.value("/sys/kernel/mm/transparent_hugepage/enabled"),
        "crashkernel": context.value("/sys/kernel/kexec_crash_size"),
        "livepatches": context.list("/sys/kernel/livepatch").into_iter().map(|e| e.name).collect::<Vec<_>>(),
    })
}

/// What each bit of `/proc/sys/kernel/tainted` means, from the lowest.
const TAINTS: [&str; 19] = [
    "proprietary module loaded",
    "module loaded by force",
    "kernel out of its specification",
    "module unloaded by force",
    "machine check happened",
    "bad page found",
    "tainted by a user",
    "kernel died before",
    "ACPI table overridden",
    "warning happened",
    "staging driver loaded",
    "firmware bug worked around",
    "module from outside the kernel loaded",
    "unsigned module loaded",
    "soft lockup happened",
    "kernel live patched",
    "auxiliary taint of a distribution",
    "randomized structures",
    "in-kernel test ran",
];

fn taint(context: &Context) -> Value {
    let Some(bits) = context.number("/proc/sys/kernel/tainted") else {
        context.problem("/proc/sys/kernel/tainted", "not found");
        return Value::Null;
    };
    let means: Vec<&str> =
        TAINTS.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, text)| *text).collect();
    json!({"bits": bits, "means": means})
}

fn security(context: &Context) -> Value {
    let security = "/sys/kernel/security";
    let list = |path: &str, separator: char| {
        context.value(path).map(|text| text.split(separator).map(str::to_owned).collect::<Vec<_>>())
    };
    let selinux = context.root().has("/sys/fs/selinux/enforce").then(|| {
        json!({
            "enforcing": context.number("/sys/fs/selinux/enforce").map(|n| n == 1),
            "policy_version": context.value("/sys/fs/selinux/policyvers"),
            "configured": context.text("/etc/selinux/config").and_then(|text| {
                text.lines().find_map(|l| l.strip_prefix("SELINUX=")).map(str::to_owned)
            }),
        })
    });
    let apparmor = context.value("/sys/module/apparmor/parameters/enabled").map(|enabled| {
        let mut modes: BTreeMap<String, u64> = BTreeMap::new();
        let profiles = context.text(&format!("{security}/apparmor/profiles")).unwrap_or_default();
        for mode in profiles.lines().filter_map(|l| l.rsplit_once(" (")?.1.strip_suffix(')')) {
            *modes.entry(mode.to_owned()).or_default() += 1;
        }
        json!({"enabled": enabled == "Y", "profiles_by_mode": modes})
    });
    json!({
        "modules": list(&format!("{security}/lsm"), ','),
        "lockdown": context.value(&format!("{security}/lockdown")),
        "selinux": selinux,
        "apparmor": apparmor,
        "seccomp_actions": list("/proc/sys/kernel/seccomp/actions_avail", ' '),
        "ima_policy_rules": context.number(&format!("{security}/ima/runtime_measurements_count")),
        "module_signatures_enforced": context.value("/sys/module/module/parameters/sig_enforce"),
    })
}

/// The mounts that this process sees.
pub(super) fn mount_infos(context: &Context) -> Vec<MountInfo> {
    let mounts = table(context, context.root(), "/proc/self/mountinfo", |b| MountInfos::from_read(b));
    if mounts.is_none() {
        context.problem("/proc/self/mountinfo", "not found, or of a form that is not known");
    }
    mounts.map(|m| m.0).unwrap_or_default()
}

fn mounts(context: &Context) -> Value {
    let options = |all: &std::collections::HashMap<String, Option<String>>| {
        let mut texts: Vec<String> = all
            .iter()
            .map(|(key, value)| value.as_ref().map_or_else(|| key.clone(), |v| format!("{key}={v}")))
            // Passwords of network drives have no business here.
            .filter(|text| !text.starts_with("password") && !text.starts_with("pass="))
            .collect();
        texts.sort_unstable();
        texts
    };
    let all = mount_infos(context).into_iter().map(|mount| {
        let mut texts = options(&mount.mount_options);
        texts.extend(options(&mount.super_options));
        texts.sort_unstable();
        texts.dedup();
        json!({
            "source": mount.mount_source,
            "target": mount.mount_point.to_string_lossy(),
            "type": mount.fs_type,
            "root": (mount.root != "/").then_some(mount.root),
            "device": mount.majmin,
            "options": texts,
        })
    });
    json!(all.collect::<Vec<_>>())
}

/// Each namespace, its first process and how many are in it.
fn namespaces(context: &Context) -> Value {
    const KINDS: [&str; 8] = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];
    let mut all: BTreeMap<(&str, String), (u32, u64)> = BTreeMap::new();
    let mut refused = 0_u64;
    for pid in context.in_time("processes", pids(context)) {
        for kind in KINDS {
            match context.root().link(&format!("/proc/{pid}/ns/{kind}")) {
                // `net:[4026531840]`
                Ok(target) => {
                    let inode = target.split(['[', ']']).nth(1).unwrap_or(&target).to_owned();
                    all.entry((kind, inode)).or_insert((pid, 0)).1 += 1;
                }
                Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => refused += 1,
                Err(_) => {}
            }
        }
    }
    if refused != 0 {
        context.refused("/proc/*/ns", "the namespaces of all processes");
    }
    let each = all.into_iter().map(|((kind, inode), (pid, processes))| {
        let command = context.value(&format!("/proc/{pid}/comm"));
        json!({"type": kind, "inode": inode, "processes": processes, "first_pid": pid, "first_command": command})
    });
    json!(each.collect::<Vec<_>>())
}

/// The processes there are.
pub(super) fn pids(context: &Context) -> Vec<u32> {
    let mut all: Vec<u32> = context
        .list("/proc")
        .into_iter()
        .filter(|e| e.kind == EntryKind::Folder)
        .filter_map(|e| e.name.parse().ok())
        .collect();
    all.sort_unstable();
    all
}

fn cgroups(context: &Context) -> Value {
    let is_second = context.root().has("/sys/fs/cgroup/cgroup.controllers");
    json!({
        "version": if is_second { 2 } else { 1 },
        "controllers": context.value("/sys/fs/cgroup/cgroup.controllers"),
        "own": context.lines("/proc/self/cgroup"),
    })
}

/// Programs of eBPF as far as they show: those that processes hold, by type.
fn bpf(context: &Context) -> Value {
    let mut all: BTreeMap<(String, String), u64> = BTreeMap::new();
    for pid in context.in_time("processes", pids(context)) {
        // Other users' are not seen without root; the group of sockets says so.
        let Ok((fds, _)) = context.root().list(&format!("/proc/{pid}/fd")) else { continue };
        for fd in fds {
            let Ok(target) = context.root().link(&format!("/proc/{pid}/fd/{}", fd.name)) else { continue };
            if !target.contains("bpf-prog") {
                continue;
            }
            let info = context.text(&format!("/proc/{pid}/fdinfo/{}", fd.name)).unwrap_or_default();
            let get = |key: &str| {
                info.lines()
                    .find_map(|l| l.strip_prefix(key))
                    .map_or_else(String::new, |v| v.trim().to_owned())
            };
            *all.entry((get("prog_type:"), get("prog_tag:"))).or_default() += 1;
        }
    }
    let programs: Vec<Value> =
        all.into_iter().map(|((kind, tag), held)| json!({"type": kind, "tag": tag, "held": held})).collect();
    let pinned: Vec<String> = context.list("/sys/fs/bpf").into_iter().map(|e| e.name).collect();
    let probes = context.text("/sys/kernel/debug/kprobes/list").map(|text| text.lines().count());
    json!({"programs": programs, "pinned": pinned, "kernel_probes": probes})
}

fn ipc(context: &Context) -> Value {
    let segments =
        table(context, context.root(), "/proc/sysvipc/shm", |b| procfs::SharedMemorySegments::from_read(b));
    let segments = segments.map(|all| {
        let each = all.0.into_iter().map(|s| {
            json!({"id": s.shmid, "bytes": s.size, "uid": s.uid, "creator_pid": s.cpid, "attached": s.nattch})
        });
        each.collect::<Vec<_>>()
    });
    let lines = |path: &str| context.text(path).map(|text| text.lines().count().saturating_sub(1));
    let files: Vec<Value> = context
        .list("/dev/shm")
        .into_iter()
        .map(|e| {
            let stat = context.root().stat(&format!("/dev/shm/{}", e.name)).ok();
            json!({"name": e.name, "bytes": stat.map(|s| s.st_size)})
        })
        .collect();
    json!({
        "shared_memory": segments,
        "semaphores": lines("/proc/sysvipc/sem"),
        "message_queues": lines("/proc/sysvipc/msg"),
        "shm_files": files,
    })
}

/// The ciphers and hashes that the kernel has, by driver; whether it is in FIPS mode.
fn crypto(context: &Context) -> Value {
    let text = context.text("/proc/crypto").unwrap_or_default();
    let mut drivers: Vec<&str> = text
        .lines()
        .filter_map(|l| l.split_once(':'))
        .filter(|(key, _)| key.trim() == "driver")
        .map(|(_, value)| value.trim())
        .collect();
    drivers.sort_unstable();
    drivers.dedup();
    json!({"fips": context.number("/proc/sys/crypto/fips_enabled").map(|n| n == 1), "drivers": drivers})
}
