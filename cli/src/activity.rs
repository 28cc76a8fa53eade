//! Something real for the sensor to see: programs, a connection, downloads.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::XattrFlags;

use crate::interrupt;

/// Where the downloads of the demo claim to come from.
const ORIGIN: &str = "https://downloads.example.com/files/report.pdf";
/// Between two programs.
const EVERY: Duration = Duration::from_millis(250);

/// What was done, to be looked for in the trace.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    /// Programs that were run.
    pub(crate) programs: u64,
    /// A program that was run, with its arguments.
    pub(crate) program: String,
    /// Port of the connection on 127.0.0.1.
    pub(crate) port: u16,
    /// Downloads.
    pub(crate) files: Vec<PathBuf>,
    /// The file system keeps no origin of a file.
    pub(crate) no_origin: Option<String>,
}

/// Is active for some time.
///
/// # Errors
/// If something of it is not possible here.
pub(crate) fn perform(downloads: &Path, time: Duration) -> io::Result<Activity> {
    let mut activity = Activity { program: "sleep 0.3".into(), ..Activity::default() };
    let end = Instant::now() + time;
    let connection = connect()?;
    activity.port = connection.1;
    download(downloads, "report.pdf", b"%PDF-1.7 a demonstration\n", &mut activity)?;
    download(downloads, "eicar.com", tracewell_sensor::eicar().as_bytes(), &mut activity)?;
    let mut children = Vec::new();
    while Instant::now() < end && !interrupt::asked() {
        // One that ends at once, and one that also a source that polls can see.
        for (program, argument) in [("true", None), ("sleep", Some("0.3"))] {
            let mut command = Command::new(program);
            command.args(argument).stdin(Stdio::null()).stdout(Stdio::null());
            children.push(command.spawn()?);
            activity.programs += 1;
        }
        std::thread::sleep(EVERY.min(end.saturating_duration_since(Instant::now())));
    }
    for mut child in children {
        child.wait()?;
    }
    drop(connection);
    Ok(activity)
}

/// A connection that stays open until the result is dropped.
fn connect() -> io::Result<((TcpStream, TcpStream), u16)> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    let mut client = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    let (mut server, _) = listener.accept()?;
    client.write_all(b"hello")?;
    server.read_exact(&mut [0; 5])?;
    Ok(((client, server), address.port()))
}

fn download(folder: &Path, name: &str, content: &[u8], activity: &mut Activity) -> io::Result<()> {
    let path = folder.join(name);
    let mut file = File::create_new(&path)?;
    let origin = rustix::fs::fsetxattr(&file, "user.xdg.origin.url", ORIGIN.as_bytes(), XattrFlags::empty());
    if let Err(e) = origin {
        activity.no_origin = Some(e.to_string());
    }
    file.write_all(content)?;
    activity.files.push(path);
    Ok(())
}
