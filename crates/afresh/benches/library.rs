//! What reading a configuration costs, side by side with the ways people share one, and how soon a swap is told.
//!
//! `cargo xtask bench library` runs this and the volume's own bench, and prints the ratios.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a benchmark")]

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, RwLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use afresh::{Config, Live, Reader, WatchOptions};
use afresh_volume::{AtomicWriter, File, Files};
use arc_swap::ArcSwap;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use serde::Deserialize;

/// Far more often than any configuration changes.
const BETWEEN_UPDATES: Duration = Duration::from_millis(10);

#[derive(Debug, Clone, Deserialize)]
struct Settings {
    port: u64,
    workers: u64,
    message: String,
}

impl Settings {
    fn new(number: u64) -> Self {
        let message = format!("message number {number}");
        Self {
            port: number,
            workers: number,
            message,
        }
    }

    /// What a request reads of it.
    fn read(&self) -> u64 {
        self.port ^ self.workers ^ self.message.len() as u64
    }
}

/// One way to share a configuration.
trait Shared: Send + Sync + 'static {
    /// What each reading thread has of its own.
    type Local: Send;

    fn local(&self) -> Self::Local;
    fn read(&self, local: &mut Self::Local) -> u64;
    fn write(&self, number: u64);
}

/// How many versions the pointer chooses from; a power of two, so that the compiler needs no look at bounds.
const VERSIONS: usize = 1024;

/// One atomic load and one step through it, and nothing is ever freed: what no way that frees can beat. A pointer in all
/// but name, which safe code cannot follow.
struct Pointer {
    versions: [Settings; VERSIONS],
    current: AtomicUsize,
}

impl Shared for Pointer {
    type Local = ();

    fn local(&self) {}

    fn read(&self, (): &mut ()) -> u64 {
        self.versions[self.current.load(Ordering::Acquire) % VERSIONS].read()
    }

    fn write(&self, number: u64) {
        self.current.store(usize::try_from(number).unwrap(), Ordering::Release);
    }
}

impl Shared for Mutex<Settings> {
    type Local = ();

    fn local(&self) {}

    fn read(&self, (): &mut ()) -> u64 {
        self.lock().unwrap().read()
    }

    fn write(&self, number: u64) {
        *self.lock().unwrap() = Settings::new(number);
    }
}

impl Shared for RwLock<Settings> {
    type Local = ();

    fn local(&self) {}

    fn read(&self, (): &mut ()) -> u64 {
        RwLock::read(self).unwrap().read()
    }

    fn write(&self, number: u64) {
        *RwLock::write(self).unwrap() = Settings::new(number);
    }
}

/// A thread that owns the configuration and answers questions about it.
struct Actor(mpsc::Sender<Message>);

enum Message {
    Read(mpsc::SyncSender<u64>),
    Write(u64),
}

impl Actor {
    fn start() -> Self {
        let (ask, asked) = mpsc::channel();
        thread::spawn(move || {
            let mut settings = Settings::new(0);
            for message in asked {
                match message {
                    Message::Read(answer) => drop(answer.send(settings.read())),
                    Message::Write(number) => settings = Settings::new(number),
                }
            }
        });
        Self(ask)
    }
}

impl Shared for Actor {
    type Local = (mpsc::SyncSender<u64>, mpsc::Receiver<u64>);

    fn local(&self) -> Self::Local {
        mpsc::sync_channel(1)
    }

    fn read(&self, (answer, answered): &mut Self::Local) -> u64 {
        self.0.send(Message::Read(answer.clone())).unwrap();
        answered.recv().unwrap()
    }

    fn write(&self, number: u64) {
        self.0.send(Message::Write(number)).unwrap();
    }
}

impl Shared for ArcSwap<Settings> {
    type Local = ();

    fn local(&self) {}

    fn read(&self, (): &mut ()) -> u64 {
        self.load().read()
    }

    fn write(&self, number: u64) {
        self.store(Arc::new(Settings::new(number)));
    }
}

impl Shared for tokio::sync::watch::Sender<Settings> {
    type Local = tokio::sync::watch::Receiver<Settings>;

    fn local(&self) -> Self::Local {
        self.subscribe()
    }

    fn read(&self, local: &mut Self::Local) -> u64 {
        local.borrow().read()
    }

    fn write(&self, number: u64) {
        self.send_replace(Settings::new(number));
    }
}

/// The whole of it: an update is a swapped volume that is noticed, read, parsed and published.
struct Afresh {
    volume: tempfile::TempDir,
    live: Live<Settings>,
}

impl Afresh {
    fn start() -> Self {
        let volume = memory_directory();
        write(volume.path(), 0);
        let live = Config::file(volume.path().join("app.yaml")).load().unwrap();
        Self { volume, live }
    }
}

impl Shared for Afresh {
    type Local = ();

    fn local(&self) {}

    fn read(&self, (): &mut ()) -> u64 {
        self.live.get().read()
    }

    fn write(&self, number: u64) {
        write(self.volume.path(), number);
    }
}

/// The same, through a reader per thread.
struct AfreshReader(Afresh);

impl Shared for AfreshReader {
    type Local = Reader<Settings>;

    fn local(&self) -> Self::Local {
        self.0.live.reader()
    }

    fn read(&self, local: &mut Self::Local) -> u64 {
        local.get().read()
    }

    fn write(&self, number: u64) {
        self.0.write(number);
    }
}

/// In memory, as the kubelet keeps Secrets: the disk is not what is measured.
fn memory_directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

fn document(number: u64) -> String {
    format!("port: {number}\nworkers: {number}\nmessage: message number {number}\n")
}

fn write(path: &Path, number: u64) {
    let files = Files::from([("app.yaml".to_owned(), File::new(document(number)))]);
    AtomicWriter::write(path, &files).unwrap();
}

/// How long `threads` threads take for `rounds` reads each, by the slowest. Who is done goes on reading until all are, so
/// that all of what is measured is contended.
fn read_by<S: Shared>(shared: &Arc<S>, threads: usize, rounds: u64) -> Duration {
    let start = Barrier::new(threads);
    let reading = AtomicUsize::new(threads);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut local = shared.local();
                    black_box(shared.read(&mut local));
                    start.wait();
                    let began = Instant::now();
                    for _ in 0..rounds {
                        black_box(shared.read(&mut local));
                    }
                    let took = began.elapsed();
                    reading.fetch_sub(1, Ordering::Relaxed);
                    while reading.load(Ordering::Relaxed) > 0 {
                        black_box(shared.read(&mut local));
                    }
                    took
                })
            })
            .collect();
        readers.into_iter().map(|reader| reader.join().unwrap()).max().unwrap()
    })
}

/// Measures one way: idle and under updates, at one and two threads.
fn measure<S: Shared>(c: &mut Criterion, name: &str, make: impl Fn() -> S) {
    for (state, updated) in [("idle", false), ("under updates", true)] {
        for threads in [1, 2] {
            let shared = Arc::new(make());
            let stop = Arc::new(AtomicBool::new(!updated));
            let updates = {
                let (shared, stop) = (Arc::clone(&shared), Arc::clone(&stop));
                thread::spawn(move || {
                    let mut number = 0;
                    while !stop.load(Ordering::Relaxed) {
                        number += 1;
                        shared.write(number);
                        thread::sleep(BETWEEN_UPDATES);
                    }
                })
            };
            let mut group = c.benchmark_group(format!("read {state}, {threads}"));
            group.warm_up_time(Duration::from_millis(300));
            group.measurement_time(Duration::from_millis(1500));
            group.sample_size(20);
            group.bench_function(BenchmarkId::from_parameter(name), |b| {
                b.iter_custom(|rounds| read_by(&shared, threads, rounds));
            });
            group.finish();
            stop.store(true, Ordering::Relaxed);
            updates.join().unwrap();
        }
    }
}

fn reads(c: &mut Criterion) {
    measure(c, "pointer", || Pointer {
        versions: std::array::from_fn(|number| Settings::new(number as u64)),
        current: AtomicUsize::new(0),
    });
    measure(c, "Afresh reader", || AfreshReader(Afresh::start()));
    measure(c, "Afresh get", Afresh::start);
    measure(c, "arc-swap", || ArcSwap::from_pointee(Settings::new(0)));
    measure(c, "tokio watch", || tokio::sync::watch::Sender::new(Settings::new(0)));
    measure(c, "RwLock", || RwLock::new(Settings::new(0)));
    measure(c, "Mutex", || Mutex::new(Settings::new(0)));
    measure(c, "actor", Actor::start);
}

/// From just before the rename of `..data` until a thread, asleep before, has the new version in its hands.
fn told(c: &mut Criterion) {
    let volume = memory_directory();
    let dir = volume.path();
    write(dir, 0);
    let events = WatchOptions {
        poll: None,
        ..WatchOptions::default()
    };
    let live: Live<Settings> = Config::file(dir.join("app.yaml")).watch(events).load().unwrap();
    let (tell, told) = mpsc::channel();
    let changes = live.changes();
    let waiting = thread::spawn(move || {
        for change in changes {
            if tell.send((change.new.port, Instant::now())).is_err() {
                break;
            }
        }
    });
    // A bare symlink and rename instead of the writer: nothing else is to be in the measured time.
    let swap = |number: u64| {
        let target = format!("..2026_01_01_00_00_00.{number}");
        fs::create_dir(dir.join(&target)).unwrap();
        fs::write(dir.join(&target).join("app.yaml"), document(number)).unwrap();
        std::os::unix::fs::symlink(&target, dir.join("..data_tmp")).unwrap();
        let began = Instant::now();
        fs::rename(dir.join("..data_tmp"), dir.join("..data")).unwrap();
        loop {
            let (seen, at) = told.recv().unwrap();
            if seen == number {
                return at.duration_since(began);
            }
        }
    };
    let mut number = 0;
    c.bench_function("swap to change", |b| {
        b.iter_custom(|rounds| {
            let one = |_| {
                number += 1;
                swap(number)
            };
            (0..rounds).map(one).sum::<Duration>()
        });
    });
    drop(live);
    waiting.join().unwrap();
}

criterion_group!(benches, reads, told);
criterion_main!(benches);
