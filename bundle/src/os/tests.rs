//! The collectors on this computer, and on ones that are laid out.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Instant;

use serde_json::Value;

use super::*;
use crate::redact;

/// A computer that is laid out below a directory.
pub(super) struct Laid(tempfile::TempDir);

impl Laid {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path.trim_start_matches('/'))
    }

    pub(super) fn file(&self, path: &str, content: impl AsRef<[u8]>) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        fs::write(self.at(path), content).unwrap();
    }

    fn link(&self, path: &str, target: &str) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        symlink(target, self.at(path)).unwrap();
    }

    fn fifo(&self, path: &str) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, self.at(path), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    }

    pub(super) fn options(&self) -> Options {
        Options { root: self.0.path().into(), product: Some("Example Security".into()), ..patient() }
    }

    pub(super) fn collect(&self, only: &[&str]) -> Vec<Value> {
        let only = only.iter().map(|name| group(name).unwrap()).collect();
        values(&collect(&Options { only, ..self.options() }, |_| ()).unwrap())
    }
}

/// Time enough for a machine that builds at the same time.
fn patient() -> Options {
    Options { each: Duration::from_secs(60), all: Duration::from_secs(120), ..Options::default() }
}

pub(super) fn values(documents: &[Document]) -> Vec<Value> {
    documents.iter().map(|d| serde_json::to_value(d).unwrap()).collect()
}

/// The one item of a list for which a field is this.
#[track_caller]
pub(super) fn find<'v>(list: &'v Value, key: &str, value: &str) -> &'v Value {
    let all = list.as_array().unwrap_or_else(|| panic!("no list: {list}"));
    all.iter().find(|item| item[key] == value).unwrap_or_else(|| panic!("no {key} {value:?} in {list:#}"))
}

#[track_caller]
fn has_error(document: &Value, what: &str, why: &str) {
    let all = document["errors"].as_array().unwrap();
    let found = all
        .iter()
        .any(|e| e["what"].as_str().unwrap().contains(what) && e["why"].as_str().unwrap().contains(why));
    assert!(found, "no error {what:?} {why:?} in {all:#?}");
}

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
daemon:x:1:1::/usr/sbin:/usr/sbin/nologin\n\
alice.muster:x:1000:1000:Alice Muster,,,:/home/alice.muster:/bin/bash\n\
zed9:x:1001:1001::/srv/people/zed9:/bin/bash\n";
const SERIALS: [&str; 6] = [
    "SERIAL-4711-DMI",
    "4c4c4544-0042-3510-8051-b4c04f4d3232",
    "WD-DISK-0815",
    "02:fc:aa:bb:cc:dd",
    "USB-7788-KEY",
    "0123456789abcdef0123456789abcdef",
];
const ADDON: &str = r#"{"schemaVersion":36,"addons":[
 {"id":"ublock@example.org","syncGUID":"x","version":"1.58.0","type":"extension","active":true,"userDisabled":false,
  "appDisabled":false,"blocklistState":0,"installDate":1726000000000,"updateDate":1727000000000,
  "sourceURI":"https://addons.example.org/ublock.xpi","location":"app-profile","foreignInstall":false,"signedState":2,
  "manifestVersion":2,"path":"/home/alice.muster/.mozilla/firefox/ab12.default/extensions/ublock@example.org.xpi",
  "userPermissions":{"permissions":["storage","webRequest"],"origins":["<all_urls>"]},
  "defaultLocale":{"name":"Blocker","creator":"Somebody","description":"Blocks"}},
 {"id":7,"version":["odd"],"unknown":{"deep":[[[]]]}}]}"#;

/// An ordinary computer of two people.
fn ordinary() -> Laid {
    let laid = Laid::new();
    laid.file("etc/passwd", PASSWD);
    laid.file("usr/lib/os-release", "NAME=\"Example Linux\"\nID=example\nVERSION_ID=\"12.1.0.4\"\n");
    laid.link("etc/os-release", "../usr/lib/os-release");
    laid.file("etc/hostname", "pc-muster-17\n");
    laid.file("etc/machine-id", SERIALS[5]);
    laid.file(
        "etc/hosts",
        "# c\n127.0.0.1 localhost\n127.0.1.1 pc-muster-17 # me\n10.1.2.3 nas.muster.example\nodd x\n",
    );
    laid.file("etc/resolv.conf", "nameserver 10.9.8.7\nsearch muster.example\noptions edns0\n");
    laid.file("etc/nsswitch.conf", "hosts: files mdns4 dns\n");
    laid.file("proc/sys/kernel/hostname", "pc-muster-17\n");
    laid.file("proc/sys/kernel/osrelease", "6.1.0-9\n");
    laid.file("proc/sys/kernel/tainted", "4097\n");
    laid.file("proc/cpuinfo", "processor\t: 0\nmodel name\t: Chip\nphysical id\t: 0\ncore id\t: 0\n\nprocessor\t: 1\nmodel name\t: Chip\nphysical id\t: 0\ncore id\t: 1\n\n");
    laid.file("proc/modules", "ext4 741376 2 - Live 0x0000000000000000\nwifi 100 1 mac,core, Live 0x0\n");
    laid.file("sys/module/ext4/version", "1.0.2.3");
    laid.file("sys/module/wifi/taint", "OE");
    laid.file("lib/modules/6.1.0-9/modules.dep", "kernel/fs/ext4/ext4.ko.zst: kernel/lib/crc16.ko\n");
    for (name, serial) in
        [("product_serial", SERIALS[0]), ("product_uuid", SERIALS[1]), ("sys_vendor", "Maker")]
    {
        laid.file(&format!("sys/class/dmi/id/{name}"), serial);
    }
    laid.file("sys/block/sda/size", "2048\n");
    laid.file("sys/block/sda/device/serial", SERIALS[2]);
    laid.file("sys/block/loop0/size", "0\n");
    laid.file("sys/class/net/eth0/address", SERIALS[3]);
    laid.file("sys/bus/usb/devices/1-1/serial", SERIALS[4]);
    laid.file("sys/bus/usb/devices/1-1/product", "Stick");
    laid.file("var/lib/dpkg/status", "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2.0.1\nDescription: a\n b\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: firefox-esr\nStatus: install ok installed\nArchitecture: amd64\nVersion: 128.3.0esr-1\n");
    laid.file("var/lib/dpkg/info/bash.list", "/.\n");
    laid.file("var/log/dpkg.log", "2026-11-02 10:11:12 upgrade bash:amd64 5.1.0.1 5.2.0.1\n");
    laid.file("etc/apt/sources.list", "deb https://alice:geheim@repo.example/debian stable main\n");
    laid.file("usr/lib/systemd/system/guard.service", "[Unit]\nDescription=Guard\n[Service]\nExecStart=/usr/sbin/guard --run\nUser=zed9\n[Install]\nWantedBy=multi-user.target\n");
    laid.link(
        "etc/systemd/system/multi-user.target.wants/guard.service",
        "/usr/lib/systemd/system/guard.service",
    );
    laid.link("etc/systemd/system/off.service", "/dev/null");
    laid.file("sys/fs/cgroup/system.slice/guard.service/cgroup.procs", "77\n78\n");
    laid.file("etc/cups/printers.conf", "<DefaultPrinter Laser_Alice>\nDeviceURI ipp://printer.muster.example/ipp\nState Idle\n</DefaultPrinter>\n");
    laid.file(
        "etc/cups/ppd/Laser_Alice.ppd",
        "*NickName: \"Laser 5\"\n*cupsFilter: \"application/x 0 rastertox\"\n",
    );
    laid.file("usr/lib/cups/filter/rastertox", "#!/bin/sh\n");
    fs::set_permissions(laid.at("usr/lib/cups/filter/rastertox"), fs::Permissions::from_mode(0o777)).unwrap();
    laid.file("etc/crontab", "17 * * * * zed9 /usr/bin/true\n");
    laid.file(
        "etc/example-security/main.toml",
        "level = 'high'\npassword = 'hunter2'\nserver = '10.3.3.3'\n",
    );
    laid.file("etc/example-security/key.pem", "private");
    fs::set_permissions(laid.at("etc/example-security/key.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    laid.file("proc/net/tcp", "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1 0 100 0 0 10 0\n   1: 0302010A:9C40 08080808:01BB 01 00000000:00000000 00:00000000 00000000  1001        0 4343 1 0 100 0 0 10 0\n");
    laid.file("proc/net/arp", "IP address       HW type     Flags       HW address            Mask     Device\n10.1.2.1         0x1         0x2         02:fc:aa:bb:cc:dd     *        eth0\n");
    laid.file("proc/77/comm", "guard\n");
    laid.link("proc/77/exe", "/usr/sbin/guard");
    laid.link("proc/77/fd/3", "socket:[4242]");
    people(&laid);
    laid
}

fn people(laid: &Laid) {
    let home = "home/alice.muster";
    laid.file(&format!("{home}/.mozilla/firefox/profiles.ini"), "[Profile0]\nName=alice\nIsRelative=1\nPath=ab12.default\n[Profile1]\nName=out\nIsRelative=0\nPath=/etc\n");
    laid.file(&format!("{home}/.mozilla/firefox/ab12.default/extensions.json"), ADDON);
    laid.file(
        &format!("{home}/.mozilla/firefox/ab12.default/compatibility.ini"),
        "[Compatibility]\nLastVersion=128.3.0_2024/2024\n",
    );
    let profile = format!("{home}/.config/chromium/Default");
    let extension = format!("{profile}/Extensions/abcdefghijklmnop/2.1.0.5_0");
    laid.file(&format!("{home}/.config/chromium/Last Version"), "131.0.10.1");
    laid.file(&format!("{extension}/manifest.json"), r#"{"name":"__MSG_appName__","version":"2.1.0.5","manifest_version":3,"default_locale":"en","permissions":["tabs"],"host_permissions":["https://*/*"],"background":{"service_worker":"b.js"}}"#);
    laid.file(&format!("{extension}/_locales/en/messages.json"), r#"{"APPNAME":{"message":"Helper"}}"#);
    laid.file(&format!("{profile}/Preferences"), r#"{"a":[1],"extensions":{"settings":{"abcdefghijklmnop":{"state":1,"from_webstore":true,"location":1,"install_time":"13370000000000000"},"unpacked":{"path":"/home/alice.muster/dev/x","location":4,"disable_reasons":[1]},"component":{"path":"x","location":5}}}}"#);
    laid.file(&format!("{home}/.config/chromium/NativeMessagingHosts/org.x.json"), r#"{"name":"org.x","path":"/home/alice.muster/bin/host","allowed_origins":["chrome-extension://a/"]}"#);
    laid.file(&format!("{home}/.config/user-dirs.dirs"), "XDG_DOWNLOAD_DIR=\"$HOME/Geladen\"\n");
    laid.file(&format!("{home}/Geladen/Steuer Alice 2025.pdf"), "%PDF-1.7");
    laid.file(&format!("{home}/Geladen/setup.run"), "#!/bin/sh\necho\n");
    laid.file(
        &format!("{home}/.config/autostart/x.desktop"),
        "[Desktop Entry]\nName=Sync of Alice Muster\nExec=/home/alice.muster/bin/sync\nHidden=true\n",
    );
    laid.file(&format!("{home}/.bashrc"), "export TOKEN=geheim\n");
    laid.file(
        &format!("{home}/.config/mimeapps.list"),
        "[Default Applications]\nx-scheme-handler/https=firefox.desktop;\n",
    );
    laid.file(
        &format!("{home}/.config/dconf/user"),
        dconf::tests::database(&[
            ("/org/example-security/on", &[1], "b"),
            ("/org/example-security/password", b"hunter2\0", "s"),
            ("/system/proxy/http/host", b"proxy.muster.example\0", "s"),
            ("/org/other/secretly", b"not ours\0", "s"),
        ]),
    );
    laid.file("srv/people/zed9/.local/share/nautilus/scripts/zip it", "#!/bin/sh\n");
}

#[test]
fn an_ordinary_computer_is_described() {
    let laid = ordinary();
    let all = laid.collect(&[]);
    assert_eq!(all.len(), GROUPS.len());
    let of = |name: &str| &all.iter().find(|d| d["group"] == name).unwrap()["data"];
    assert_eq!(of("system")["release"]["version_id"], "12.1.0.4");
    assert_eq!(of("system")["computer"]["host_name"], "pc-muster-17");
    let hardware = of("hardware");
    assert_eq!(
        (&hardware["machine"]["product_serial"], &hardware["cpu"]["cores"]),
        (&Value::from(SERIALS[0]), &Value::from(2))
    );
    assert_eq!(hardware["disks"].as_array().unwrap().len(), 1, "nothing is behind loop0");
    assert_eq!(
        (&hardware["disks"][0]["bytes"], &hardware["disks"][0]["serial"]),
        (&Value::from(1 << 20), &Value::from(SERIALS[2]))
    );
    assert_eq!(find(&hardware["network_cards"], "name", "eth0")["mac"], SERIALS[3]);
    assert_eq!(find(&hardware["usb_devices"], "product", "Stick")["serial"], SERIALS[4]);
    assert_eq!(
        of("kernel")["taint"]["means"],
        serde_json::json!(["proprietary module loaded", "module from outside the kernel loaded"])
    );
    let ext4 = find(&of("drivers")["modules"], "name", "ext4");
    assert_eq!(
        (&ext4["file"], &ext4["version"], &ext4["state"]),
        (&"kernel/fs/ext4/ext4.ko.zst".into(), &"1.0.2.3".into(), &"Live".into())
    );
    assert_eq!(find(&of("drivers")["modules"], "name", "wifi")["taint"], "OE");
    let packages = &of("packages")["dpkg"];
    assert_eq!(packages.as_array().unwrap().len(), 2, "what was removed is not installed");
    assert!(find(packages, "name", "bash")["installed_at"].is_string());
    assert!(
        of("packages")["sources"].to_string().contains("https://[removed]@repo.example/"),
        "{}",
        of("packages")["sources"]
    );
    assert_eq!(of("updates")["history"][0]["before"], "5.1.0.1");
    let guard = find(&of("services")["units"], "name", "guard.service");
    assert_eq!(
        (&guard["enabled"], &guard["active"], &guard["main_pid"]),
        (&"enabled".into(), &"active".into(), &77.into())
    );
    assert_eq!(guard["exec_start"][0], "/usr/sbin/guard --run");
    assert_eq!(find(&of("services")["units"], "name", "off.service")["enabled"], "masked");
    assert_eq!(find(&of("clients")["packages"], "name", "firefox-esr")["version"], "128.3.0esr-1");
    assert_eq!(
        find(&of("clients")["defaults"], "user", "alice.muster")["handlers"]["https"],
        "firefox.desktop"
    );
    let addon = find(&of("browser_extensions")["firefox"], "id", "ublock@example.org");
    assert_eq!(
        (&addon["name"], &addon["browser_version"], &addon["installed_at"]),
        (&"Blocker".into(), &"128.3.0".into(), &"2024-09-10T20:26:40Z".into())
    );
    assert_eq!(addon["hosts"][0], "<all_urls>");
    let helper = find(&of("browser_extensions")["chromium"], "id", "abcdefghijklmnop");
    assert_eq!(
        (&helper["name"], &helper["enabled"], &helper["installed_at"]),
        (&"Helper".into(), &true.into(), &"2024-09-05T08:53:20Z".into())
    );
    assert_eq!((&helper["browser"], &helper["location"]), (&"Chromium".into(), &"by the user".into()));
    let unpacked = find(&of("browser_extensions")["chromium"], "id", "unpacked");
    assert_eq!((&unpacked["location"], &unpacked["enabled"]), (&"unpacked".into(), &false.into()));
    assert_eq!(
        of("browser_extensions")["chromium"].as_array().unwrap().len(),
        2,
        "components are the browser's own"
    );
    assert_eq!(of("browser_extensions")["native_hosts"][0]["program"], "/home/alice.muster/bin/host");
    assert_eq!(of("printing")["queues"][0]["state"], "Idle");
    assert_eq!(of("printing")["drivers"][0]["filters"][0], "application/x 0 rastertox");
    assert_eq!(find(&of("printing")["programs"], "name", "rastertox")["suspicious"], true);
    assert_eq!(
        of("file_manager_extensions")["actions"][0]["path"],
        "/srv/people/zed9/.local/share/nautilus/scripts/zip it"
    );
    let files = &of("downloaded_programs")["downloads"][0]["files"];
    assert_eq!(find(files, "name", "Steuer Alice 2025.pdf")["type"], "pdf");
    assert_eq!(find(files, "name", "setup.run")["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(of("autostart")["desktop"][0]["enabled"], false);
    let shell = find(&of("autostart")["shell_files"], "user", "alice.muster");
    assert!(shell["sha256"].is_string() && !shell.to_string().contains("geheim"));
    let hosts = &of("hosts")["entries"];
    assert_eq!((hosts.as_array().unwrap().len(), &hosts[2]["names"][0]), (4, &"nas.muster.example".into()));
    assert_eq!((&hosts[1]["has_comment"], &hosts[3]["is_valid"]), (&true.into(), &false.into()));
    assert_eq!(of("hosts")["resolver"]["servers"][0], "10.9.8.7");
    assert_eq!(of("settings_store")["dconf"][0]["values"]["/org/example-security/on"], true);
    let proxy = find(&of("settings_store")["proxies"], "name", "/system/proxy/http/host");
    assert_eq!((&proxy["value"], &proxy["user"]), (&"proxy.muster.example".into(), &"alice.muster".into()));
    let settings = of("settings_store").to_string();
    assert!(!settings.contains("hunter2") && !settings.contains("not ours"), "{settings}");
    let main = find(&of("settings_store")["product_files"], "path", "/etc/example-security/main.toml");
    assert_eq!(main["lines"][0], "level = 'high'");
    let key = find(&of("settings_store")["product_files"], "path", "/etc/example-security/key.pem");
    assert!(key["lines"].is_null() && key["left_out"].is_string(), "{key}");
    let sockets = &of("sockets")["sockets"]["internet"];
    assert_eq!(
        (&sockets[0]["local_port"], &sockets[0]["process"], &sockets[0]["program"]),
        (&8080.into(), &"guard".into(), &"/usr/sbin/guard".into())
    );
    assert_eq!((&sockets[1]["remote_ip"], &sockets[1]["user"]), (&"8.8.8.8".into(), &"zed9".into()));
}

#[test]
fn at_level_standard_nothing_says_who_it_is() {
    let known = || redact::Known::new(["alice.muster", "Alice Muster", "zed9"], ["pc-muster-17"]);
    let documents = ordinary().collect(&[]);
    let private = [
        "alice.muster",
        "Alice Muster",
        "zed9",
        "/home/alice",
        "pc-muster-17",
        "muster.example",
        "Laser_Alice",
        "Steuer",
        "10.1.2.3",
        "10.9.8.7",
        "8.8.8.8",
        "10.3.3.3",
        "geheim",
        "hunter2",
        "addons.example.org",
    ];
    let before: String = documents.iter().map(Value::to_string).collect();
    for text in private.iter().chain(&SERIALS) {
        let is_there = before.to_lowercase().contains(&text.to_lowercase());
        // Secrets are not even collected.
        let is_secret = ["geheim", "hunter2"].contains(text);
        assert_eq!(is_there, !is_secret, "{text}");
    }
    for level in [redact::Level::Standard, redact::Level::Strict] {
        let key = redact::PseudonymKey::of([7; 32]);
        let mut redactor = redact::Redactor::new(level, key, known());
        let mut after = String::new();
        for mut document in documents.clone() {
            redactor.json(&mut document);
            // It can still be shown.
            assert!(readable::blocks(&document).is_some());
            after += &document.to_string();
        }
        for text in private.iter().chain(&SERIALS) {
            let found = after.to_lowercase().find(&text.to_lowercase());
            let near = found.map(|at| after.get(at.saturating_sub(200)..at + 50));
            assert!(found.is_none(), "{level:?}: {text} in {near:?}");
        }
        // What looks like an address and is a version stays.
        for version in ["12.1.0.4", "5.2.0.1", "2.1.0.5", "131.0.10.1", "1.0.2.3", "ublock@example.org"] {
            assert!(after.contains(version), "{level:?}: {version}");
        }
        assert!(after.contains("\"user\":\"root\"") || rustix::process::geteuid().as_raw() != 0);
    }
}

#[test]
fn somebody_who_means_harm_gets_nothing_read_and_stops_nobody() {
    let laid = ordinary();
    laid.file("etc/passwd", format!("{PASSWD}mallory:x:1002:1002::/home/mallory:/bin/sh\n"));
    laid.file("secret/shadow", "root:$6$geheim");
    let home = "home/mallory";
    laid.file(&format!("{home}/.mozilla/firefox/profiles.ini"), "[Profile0]\nName=\u{1b}[31mred\nPath=a\n[Profile1]\nPath=../../alice.muster/.mozilla/firefox/ab12.default\n[Profile2]\nPath=b\n");
    laid.fifo(&format!("{home}/.mozilla/firefox/a/extensions.json"));
    laid.link(&format!("{home}/.mozilla/firefox/b/extensions.json"), "/secret/shadow");
    let big = fs::File::create(laid.at(&format!("{home}/big"))).unwrap();
    big.set_len(100 << 30).unwrap();
    for (name, value) in [("Default", "[".repeat(100_000)), ("Profile 1", "{\"extensions\":7}".into())] {
        laid.file(&format!("{home}/.config/chromium/{name}/Preferences"), value);
    }
    fs::create_dir_all(laid.at(&format!("{home}/.config/chromium/Default/Extensions/x/1"))).unwrap();
    fs::rename(
        laid.at(&format!("{home}/big")),
        laid.at(&format!("{home}/.config/chromium/Default/Extensions/x/1/manifest.json")),
    )
    .unwrap();
    laid.file(&format!("{home}/Downloads/\u{1b}]0;owned\u{7}\n\u{202e}gpj.exe"), "MZ");
    laid.fifo(&format!("{home}/Downloads/pipe"));
    laid.link(&format!("{home}/Downloads/link"), "/secret/shadow");
    laid.link(&format!("{home}/.config/example-security"), "/secret");
    laid.link(&format!("{home}/.config/dconf/user"), "/secret/shadow");
    laid.link(&format!("{home}/.config/autostart"), "/secret");
    laid.fifo(&format!("{home}/.bashrc"));
    let begun = Instant::now();
    let all = laid.collect(&[]);
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    let text: String = all.iter().map(Value::to_string).collect();
    assert!(!text.contains("geheim"), "read through a link");
    assert!(!text.contains("given up") && !text.contains("unexpectedly"), "{text}");
    let of = |name: &str| all.iter().find(|d| d["group"] == name).unwrap();
    let extensions = of("browser_extensions");
    has_error(extensions, "a/extensions.json", "no regular file");
    has_error(extensions, "b/extensions.json", "link");
    has_error(extensions, "../alice.muster", "Invalid argument");
    has_error(extensions, "Default/Preferences", "form that is not known");
    has_error(extensions, "x/1/manifest.json", "only its first");
    has_error(of("settings_store"), ".config/dconf/user", "link");
    has_error(of("autostart"), ".config/autostart", "link");
    has_error(of("autostart"), ".bashrc", "no regular file");
    // The others' are there all the same.
    find(&extensions["data"]["firefox"], "user", "alice.muster");
    for document in &all {
        let mut shown = Vec::new();
        readable::write_text(&readable::blocks(document).unwrap(), &mut shown).unwrap();
        let shown = String::from_utf8(shown).unwrap();
        assert!(shown.chars().all(|c| c == '\n' || !c.is_control()) && !shown.contains('\u{202e}'));
    }
}

#[test]
fn this_computer_is_described() {
    let begun = Instant::now();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let documents = values(&collect(&patient(), |_| ()).unwrap());
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    let names: Vec<&str> = documents.iter().map(|d| d["group"].as_str().unwrap()).collect();
    assert_eq!(names, GROUPS.map(|g| g.name));
    for (document, group) in documents.iter().zip(GROUPS) {
        let errors = document["errors"].to_string();
        assert!(!errors.contains("unexpectedly") && !errors.contains("given up"), "{errors}");
        let keys: BTreeSet<&str> = document["data"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, group.sections().collect(), "every section is there");
        for (section, value) in document["data"].as_object().unwrap() {
            let explained = errors.contains(&format!("\"{section}: "));
            // Systems of packages that are not this one's.
            let is_choice = ["rpm", "pacman", "apk", "flatpak", "snap", "dpkg", "openrc", "neighbours"]
                .contains(&section.as_str());
            assert!(
                !value.is_null() || explained || is_choice,
                "{section} is not there, and nobody says why"
            );
        }
        assert!(document["collected_at"].as_str().unwrap().ends_with('Z'));
    }
    let of = |name: &str| &documents.iter().find(|d| d["group"] == name).unwrap()["data"];
    let run = |program: &str, arguments: &[&str]| {
        let output = std::process::Command::new(program).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(of("system")["kernel"]["release"], run("uname", &["-r"]));
    assert_eq!(of("hardware")["cpu"]["threads"].to_string(), run("nproc", &["--all"]));
    if Path::new("/var/lib/dpkg/status").exists() {
        let packages = run("dpkg-query", &["-W", "-f", "${db:Status-Status} ${Package}\n"]);
        let count = packages.lines().filter(|l| l.starts_with("installed ")).count();
        assert_eq!(of("packages")["dpkg"].as_array().unwrap().len(), count);
    }
    let port = listener.local_addr().unwrap().port();
    let sockets = of("sockets")["sockets"]["internet"].as_array().unwrap();
    let ours = sockets.iter().find(|s| s["local_port"] == port && s["state"] == "listen").unwrap();
    assert_eq!(ours["pid"], std::process::id());
    let target: BTreeSet<_> =
        of("kernel")["mounts"].as_array().unwrap().iter().map(|m| m["target"].as_str().unwrap()).collect();
    assert!(target.contains("/proc") && target.contains("/"), "{target:?}");
}

#[test]
fn an_empty_root_gives_every_document_and_says_what_is_missing() {
    let laid = Laid::new();
    let all = laid.collect(&[]);
    assert_eq!(all.len(), GROUPS.len());
    for (group, what) in [
        ("system", "os-release"),
        ("hardware", "/proc/cpuinfo"),
        ("kernel", "mountinfo"),
        ("services", "systemd"),
        ("printing", "/etc/cups"),
        ("hosts", "/etc/hosts"),
        ("sockets", "/proc/net/tcp"),
    ] {
        let document = all.iter().find(|d| d["group"] == group).unwrap();
        has_error(document, what, "not found");
    }
    let missing = collect(&Options { root: laid.at("none"), ..Options::default() }, |_| ());
    assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn what_is_called_personal_is_of_a_section() {
    let mut names = BTreeSet::new();
    for group in GROUPS {
        assert!(names.insert(group.name) && MemberName::new(format!("os/{}.json", group.name)).is_ok());
        for field in group.personal {
            let section = field.path.strip_prefix("/data/").unwrap().split('/').next().unwrap();
            assert!(group.sections().any(|s| s == section), "{} {}", group.name, field.path);
        }
    }
}

#[test]
fn a_bundle_gets_one_member_for_each_group() {
    struct Members(Vec<(MemberInfo, Value)>);
    impl Sink for Members {
        fn member(&mut self, info: MemberInfo, content: &mut dyn io::Read) -> io::Result<()> {
            let mut text = Vec::new();
            content.read_to_end(&mut text)?;
            self.0.push((info, serde_json::from_slice(&text)?));
            Ok(())
        }

        fn skip(&mut self, skipped: Skipped) {
            panic!("{skipped:?}");
        }
    }
    let laid = ordinary();
    let mut members = Members(Vec::new());
    OperatingSystem::new(laid.options()).collect(&mut members).unwrap();
    assert_eq!(members.0.len(), GROUPS.len());
    for (info, document) in members.0 {
        assert_eq!(info.name.as_str(), format!("os/{}.json", document["group"].as_str().unwrap()));
        assert_eq!(info.kind, Kind::OsInformation);
        assert!(!info.personal.is_empty() && document["format"] == FORMAT);
    }
}

/// The rows of the page: group, section, fields, personal.
fn page() -> Vec<(String, String, String, String)> {
    let page = include_str!("../../../docs/os-information.md");
    let (mut group, mut rows) = (String::new(), Vec::new());
    for line in page.lines() {
        if let Some(name) = line.strip_prefix("### `") {
            group = name.trim_end_matches('`').to_owned();
        } else if let Some(row) = line.strip_prefix("| `") {
            let cells: Vec<&str> = row.split(" |").collect();
            let section = cells[0].trim_end_matches('`').to_owned();
            rows.push((group.clone(), section, cells[1].to_owned(), cells.get(3).unwrap_or(&"").to_string()));
        }
    }
    rows
}

#[test]
fn the_page_names_what_comes_out() {
    let rows = page();
    let (about, rows): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(group, ..)| group.is_empty());
    let mut documents = ordinary().collect(&[]);
    documents.extend(values(&collect(&patient(), |_| ()).unwrap()));
    let fields: Vec<&str> = about.iter().map(|(_, field, ..)| field.as_str()).collect();
    for document in &documents {
        let keys: BTreeSet<&str> = document.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, fields.iter().copied().collect());
    }
    let named: Vec<(&str, &str)> =
        rows.iter().map(|(group, section, ..)| (group.as_str(), section.as_str())).collect();
    let all = GROUPS.iter().flat_map(|group| group.sections().map(|section| (group.name, section)));
    assert_eq!(named, all.collect::<Vec<_>>());
    let has_word = |text: &str, word: &str| {
        text.split(|c: char| !c.is_alphanumeric() && !"_.".contains(c)).any(|w| w == word)
    };
    let row = |group: &str, section: &str| rows.iter().find(|r| r.0 == group && r.1 == section).unwrap();
    for document in &documents {
        let group = document["group"].as_str().unwrap();
        for (section, value) in document["data"].as_object().unwrap() {
            // Its keys are names of programs.
            if section == "alternatives" {
                continue;
            }
            let items: Vec<&Value> =
                value.as_array().map_or_else(|| vec![value], |items| items.iter().collect());
            for key in items.iter().filter_map(|item| item.as_object()).flat_map(|item| item.keys()) {
                assert!(
                    has_word(&row(group, section).2, key),
                    "{group}.{section}: the page does not name {key}"
                );
            }
        }
    }
    for group in GROUPS {
        for field in group.personal.iter().filter(|f| f.kind != "public") {
            let parts: Vec<&str> = field.path.split('/').skip(2).collect();
            let name = parts[1..].iter().rev().find(|part| **part != "*");
            let cell = &row(group.name, parts[0]).3;
            let name_is_there = name.is_none_or(|name| has_word(cell, name));
            let kind_is_there = has_word(&cell.replace('-', "."), &field.kind.replace('-', "."));
            assert!(
                name_is_there && kind_is_there,
                "{}: the page does not call {} personal ({})",
                group.name,
                field.path,
                field.kind
            );
        }
    }
}

#[test]
fn other_systems_of_packages_and_services_are_read() {
    let laid = Laid::new();
    laid.file("etc/passwd", PASSWD);
    laid.file(
        "var/lib/pacman/local/bash-5.2-1/desc",
        "%NAME%\nbash\n\n%VERSION%\n5.2-1\n\n%ARCH%\nx86_64\n\n%INSTALLDATE%\n1767225600\n",
    );
    laid.file("lib/apk/db/installed", "P:musl\nV:1.2.5-r0\nA:x86_64\n\nP:zlib\nV:1.3\nA:x86_64\n\n");
    let app = ".local/share/flatpak/app/org.example.App/x86_64/stable";
    laid.file(&format!("home/alice.muster/{app}/c0ffee/metadata"), "[Application]\nname=org.example.App\nruntime=org.example.Platform/x86_64/1\n[Context]\nfilesystems=home;\n");
    laid.link(&format!("home/alice.muster/{app}/active"), "c0ffee");
    laid.file(
        "snap/hello/x1/meta/snap.yaml",
        "name: hello\nversion: '2.10'\napps:\n  version: no\nconfinement: strict\n",
    );
    laid.link("snap/hello/current", "x1");
    laid.file("var/lib/rpm/rpmdb.sqlite", "");
    laid.file("etc/init.d/guard", "#!/bin/sh\n");
    fs::set_permissions(laid.at("etc/init.d/guard"), fs::Permissions::from_mode(0o755)).unwrap();
    laid.link("etc/rc2.d/S02guard", "../init.d/guard");
    laid.link("etc/rc0.d/K01guard", "../init.d/guard");
    laid.file("run/guard.pid", "77\n");
    laid.file("proc/77/comm", "guard");
    laid.link("etc/runlevels/default/sshd", "/etc/init.d/sshd");
    laid.link("etc/runlevels/boot/net", "/etc/init.d/net");
    laid.link("run/openrc/started/sshd", "/etc/init.d/sshd");
    let all = laid.collect(&["packages", "services"]);
    let packages = &all[0]["data"];
    let bash = find(&packages["pacman"], "name", "bash");
    assert_eq!((&bash["version"], &bash["installed_at"]), (&"5.2-1".into(), &"2026-01-01T00:00:00Z".into()));
    assert_eq!(find(&packages["apk"], "name", "zlib")["version"], "1.3");
    assert_eq!(packages["apk"].as_array().unwrap().len(), 2);
    let flatpak = find(&packages["flatpak"], "name", "org.example.App");
    assert_eq!((&flatpak["home_of"], &flatpak["commit"]), (&"alice.muster".into(), &"c0ffee".into()));
    assert_eq!(
        (&flatpak["runtime"], &flatpak["file_systems"]),
        (&"org.example.Platform/x86_64/1".into(), &"home;".into())
    );
    let snap = find(&packages["snap"], "name", "hello");
    assert_eq!((&snap["version"], &snap["revision"]), (&"2.10".into(), &"x1".into()));
    has_error(&all[0], "rpm", "only for this system");
    let guard = find(&all[1]["data"]["system_v"], "name", "guard");
    assert_eq!((&guard["started_in_levels"], &guard["runs"]), (&"2".into(), &true.into()));
    assert_eq!(find(&all[1]["data"]["openrc"], "name", "sshd")["started"], true);
    assert_eq!(find(&all[1]["data"]["openrc"], "name", "net")["started"], false);
}

#[test]
fn where_a_download_came_from_is_told_without_its_query() {
    let laid = Laid::new();
    laid.file("etc/passwd", PASSWD);
    laid.file("home/alice.muster/Downloads/tool.jar", "PK\x03\x04....");
    let url = b"https://alice:geheim@files.example/tool.jar?token=geheim#x";
    let path = laid.at("home/alice.muster/Downloads/tool.jar");
    rustix::fs::setxattr(&path, "user.xdg.origin.url", url, rustix::fs::XattrFlags::empty())
        .expect("a file system with extended attributes is needed for temporary files");
    let all = laid.collect(&["downloaded_programs"]);
    let tool = find(&all[0]["data"]["downloads"][0]["files"], "name", "tool.jar");
    assert_eq!(
        (&tool["origin"], &tool["type"]),
        (&"https://[removed]@files.example/tool.jar".into(), &"java archive".into())
    );
    assert_eq!(tool["sha256"].as_str().unwrap().len(), 64);
}

#[test]
fn too_much_of_something_is_cut_and_said() {
    let laid = Laid::new();
    laid.file("etc/hosts", "10.1.1.1 a\n".repeat(12_345));
    laid.file("etc/machine-info", format!("PRETTY_HOSTNAME=\"{}\"\n", "x".repeat(20_000)));
    let long: String = (0..40_000)
        .map(|i| format!("Package: p{i}\nStatus: install ok installed\nVersion: {}\n\n", "1".repeat(400)))
        .collect();
    laid.file("var/lib/dpkg/status", long);
    let all = laid.collect(&["system", "packages", "hosts"]);
    let cut = |place: usize| all[place]["cut"].as_array().unwrap().clone();
    assert_eq!(cut(0), [serde_json::json!({"what": "computer", "left_out": 1})]);
    let kept = all[1]["data"]["dpkg"].as_array().unwrap().len() as u64;
    assert!(kept < 10_000 && all[1].to_string().len() < 4 << 20, "{kept}");
    assert_eq!(cut(1)[0]["what"], "dpkg");
    let left_out = cut(1)[0]["left_out"].as_u64().unwrap();
    assert_eq!(kept + left_out, 40_000);
    assert_eq!(cut(2), [serde_json::json!({"what": "entries", "left_out": 2345})]);
}
