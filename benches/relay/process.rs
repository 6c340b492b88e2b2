//! The processes a run starts: the gateway, the floor and the sink. What they cost is read from
//! `/proc`, and none of them outlives the bench (but for the gateway, if the bench is ended with
//! SIGKILL).

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::mpsc;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use tokio::signal::unix::signal;
use tokio::signal::unix::SignalKind;

use crate::client::Account;

/// A child that is killed when this is dropped.
pub(crate) struct Process {
    child: Arc<Mutex<Child>>,
    pid: u32,
    address: SocketAddr,
}

impl Process {
    /// Starts the broker that swallows, floods and echoes.
    pub(crate) fn sink() -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("sink");
        Self::start(command)
    }

    /// Starts the web server of an application.
    pub(crate) fn origin() -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("origin");
        Self::start(command)
    }

    /// Starts the pipe that the gateway is measured against.
    pub(crate) fn floor(upstream: SocketAddr) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["floor", &upstream.to_string()]);
        Self::start(command)
    }

    /// Starts the release gateway with one worker (the floor has one thread), all else as it comes,
    /// except for the limit per address, since here everybody comes from one, and the bound on
    /// connects, since here everybody comes at once.
    pub(crate) fn gateway(upstream: SocketAddr) -> io::Result<Self> {
        let mut command = gateway();
        command.args(["--upstream", &format!("amqp://{upstream}")]);
        Self::start(command)
    }

    /// The same with the account of the service at the broker, over `"dedicated"` or `"shared"` connections with these
    /// settings.
    pub(crate) fn gateway_with(
        upstream: SocketAddr,
        account: &Account,
        connections: &str,
        settings: &str,
    ) -> io::Result<Self> {
        let Account {
            user,
            password,
            vhost,
        } = account;
        let configuration = format!(
            "[[services]]\nname = \"amqp\"\nkind = \"amqp\"\npaths = [\"/ws/amqp\"]\n\
             [services.upstream]\nuris = [\"amqp://{user}:{password}@{upstream}\"]\n\
             vhost = \"{vhost}\"\nlogin = \"service\"\nconnections = \"{connections}\"\n\
             [services.upstream.shared]\n{settings}\n"
        );
        Self::configured(&configuration, connections)
    }

    /// Starts the gateway with this configuration.
    fn configured(configuration: &str, what: &str) -> io::Result<Self> {
        let name = format!("smeuse-bench-{}-{what}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, configuration)?;
        let mut command = gateway();
        command.arg("--config").arg(&path);
        // It has been read once it listens.
        let started = Self::start(command);
        fs::remove_file(&path)?;
        started
    }

    /// Starts it in front of an application's web server.
    pub(crate) fn gateway_before(origin: SocketAddr) -> io::Result<Self> {
        let configuration =
            format!("[[web.applications]]\nname = \"app\"\norigin = \"http://{origin}\"\n");
        Self::configured(&configuration, "pages")
    }

    /// Starts a program that does not say that it listens at this address.
    pub(crate) fn start_at(mut command: Command, address: SocketAddr) -> io::Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let pid = child.id();
        let child = registered(child);
        let process = Self {
            child,
            pid,
            address,
        };
        if until(START_DEADLINE, || Ok(TcpStream::connect(address).is_ok()))? {
            return Ok(process);
        }
        Err(io::Error::other(format!("{name} does not listen")))
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// CPU it has used so far, user and system, all threads that still live, in nanoseconds where
    /// the kernel says so.
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        let mut total = Duration::ZERO;
        for task in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            let text = match fs::read_to_string(task?.path().join("schedstat")) {
                // It has ended since.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                read => read?,
            };
            let nanoseconds = text.split(' ').next().and_then(|first| first.parse().ok());
            total +=
                Duration::from_nanos(nanoseconds.ok_or_else(|| io::Error::other("no schedstat"))?);
        }
        Ok(total)
    }

    /// Its resident memory in bytes; what the kernel keeps in socket buffers is not in it.
    pub(crate) fn memory(&self) -> io::Result<u64> {
        memory_of(self.pid)
    }

    fn start(mut command: Command) -> io::Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        // The sink and the floor end when their standard input does, even if the bench was killed.
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let pid = child.id();
        let stdout = child.stdout.take();
        let child = registered(child);
        let (ready, listening) = mpsc::channel();
        // Read to the end, so that a child that logs never waits for us.
        thread::spawn(move || {
            let mut last = VecDeque::new();
            for line in BufReader::new(stdout?).lines() {
                let line = line.ok()?;
                if let Some(address) = listening_address(&line) {
                    let _ = ready.send(Ok(address));
                }
                last.truncate(8);
                last.push_front(line);
            }
            let _ = ready.send(Err(last.into_iter().rev().collect::<Vec<_>>().join("\n")));
            Some(())
        });
        let address = match listening.recv_timeout(START_DEADLINE) {
            Ok(Ok(address)) => address,
            Ok(Err(said)) => {
                return Err(io::Error::other(format!(
                    "{name} ended before it listened: {said}"
                )))
            }
            Err(_) => return Err(io::Error::other(format!("{name} does not listen"))),
        };
        Ok(Self {
            child,
            pid,
            address,
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        end(&self.child);
    }
}

fn gateway() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smeuse"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SMEUSE__") {
            command.env_remove(name);
        }
    }
    command
        .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .args(["--log", "info"])
        .env_remove("AMQP_URL")
        .env_remove("PORT")
        .env("SMEUSE__LOG__FORMAT", "json")
        .env("SMEUSE__LISTEN__WORKERS", "1")
        .env("SMEUSE__LIMITS__SESSIONS_PER_ADDRESS", "50000")
        .env("SMEUSE__SERVICES__0__UPSTREAM__CONNECTS_PER_SECOND", "0")
        .current_dir(std::env::temp_dir());
    command
}

/// Resident memory of any process, in bytes.
pub(crate) fn memory_of(pid: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kilobytes = line.and_then(|rest| {
        rest.trim()
            .trim_end_matches("kB")
            .trim()
            .parse::<u64>()
            .ok()
    });
    Ok(kilobytes.ok_or_else(|| io::Error::other("no Rss in smaps_rollup"))? * 1024)
}

/// How many files may be open, once that is as much as this user may have: two thousand sessions
/// are four thousand sockets, and many a shell allows a thousand. May start this program anew.
pub(crate) fn open_files(wanted: usize) -> io::Result<usize> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let mut numbers = line
        .unwrap_or_default()
        .split_whitespace()
        .map(|word| word.parse().unwrap_or(usize::MAX));
    let (soft, hard) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if soft >= wanted || soft >= hard {
        return Ok(soft);
    }
    let mut shell = Command::new("sh");
    shell
        .args(["-c", r#"ulimit -n "$(ulimit -Hn)" && exec "$0" "$@""#])
        .arg(std::env::current_exe()?);
    Err(shell.args(std::env::args_os().skip(1)).exec())
}

/// Kills the children and leaves with code 1 when the bench itself is told to end, or has run for
/// too long.
pub(crate) fn watch(limit: Duration) {
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let why = runtime.block_on(async {
            let mut terminated = signal(SignalKind::terminate())?;
            let mut interrupted = signal(SignalKind::interrupt())?;
            Ok::<_, io::Error>(tokio::select! {
                _ = terminated.recv() => "terminated",
                _ = interrupted.recv() => "interrupted",
                () = tokio::time::sleep(limit) => "took too long",
            })
        })?;
        eprintln!("{why}; ending what was started");
        for child in CHILDREN
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .iter()
        {
            end(child);
        }
        std::process::exit(1);
        #[expect(unreachable_code, reason = "tells the closure's type")]
        Ok::<_, io::Error>(())
    });
}

/// Ends this process when its standard input ends, which is when the bench does.
pub(crate) fn end_with_the_bench() {
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        std::process::exit(0);
    });
}

/// Looks at once and then every few milliseconds, until `what` says yes; no is the answer at the
/// deadline.
pub(crate) fn until(
    deadline: Duration,
    mut what: impl FnMut() -> io::Result<bool>,
) -> io::Result<bool> {
    let start = Instant::now();
    while !what()? {
        if start.elapsed() > deadline {
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(true)
}

/// Among those that end with the bench.
fn registered(child: Child) -> Arc<Mutex<Child>> {
    let child = Arc::new(Mutex::new(child));
    CHILDREN
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
        .push(child.clone());
    child
}

fn end(child: &Mutex<Child>) {
    let mut child = child
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let _ = child.kill();
    let _ = child.wait();
}

/// The gateway's log line in JSON, or the one word of the sink and the floor.
fn listening_address(line: &str) -> Option<SocketAddr> {
    if let Some(address) = line.strip_prefix("listening ") {
        return address.parse().ok();
    }
    if !line.contains(r#""message":"listening""#) {
        return None;
    }
    let (_, rest) = line.split_once(r#""public":""#)?;
    rest.split('"').next()?.parse().ok()
}

static CHILDREN: Mutex<Vec<Arc<Mutex<Child>>>> = Mutex::new(Vec::new());

const START_DEADLINE: Duration = Duration::from_secs(10);
