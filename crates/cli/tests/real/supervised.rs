//! The recipes of `examples/recipes`, as they are but for their images: programs that nobody can change take the new
//! configuration, and the pod stays.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use afresh_testbed::{Image, eventually};
use afresh_testbed_host as host;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::{sleep, timeout};

use crate::node::{APART, name, pod_uids, report, world};
use crate::program::{LONG, last_lines};
use crate::world::World;

const IMAGE: &str = "afresh.test/recipes:1";
const PROGRAMS: [&str; 7] = [
    "nginx",
    "haproxy",
    "prometheus",
    "promtool",
    "prometheus-blackbox-exporter",
    "redis-server",
    "redis-cli",
];
const LIBRARIES: &str = "/usr/lib/recipes";

/// How long one answer may take. Whoever waits for another answer asks again.
const ANSWER: Duration = Duration::from_secs(30);

static LOADED: OnceCell<()> = OnceCell::const_new();

/// One image with `afresh`, a shell and all programs of the recipes.
async fn load(world: &World<'_>) -> Result<()> {
    let load = || async {
        let mut image = Image::new(IMAGE)
            .busybox()
            .program("/bin/afresh", env!("CARGO_BIN_EXE_afresh"));
        // Each with the libraries that it needs itself.
        for library in fs::read_dir(host::application_libraries()).context("run cargo xtask setup")? {
            let library = library?;
            let target = Path::new(LIBRARIES).join(library.file_name());
            image = image.program(target, library.path());
        }
        for program in PROGRAMS {
            let source = host::application(program).with_context(|| format!("{program}: run cargo xtask setup"))?;
            image = image.program(format!("/bin/{program}"), source);
        }
        anyhow::Ok(world.cluster.load_image(&image).await?)
    };
    LOADED.get_or_try_init(load).await.copied()
}

/// The objects of a recipe.
fn objects(recipe: &str) -> Result<Vec<Value>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples/recipes")
        .join(recipe);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    text.split("\n---\n")
        .map(|document| Ok(serde_saphyr::from_str(document)?))
        .collect()
}

/// A recipe's pod, running, with what must not change: its UID, and the kubelet's word on its containers.
struct Recipe<'a> {
    world: World<'a>,
    app: String,
    pods: Vec<String>,
    containers: Value,
}

impl<'a> Recipe<'a> {
    /// Applies a recipe, of which the image and the end are the test's; waits until it runs and Afresh has adopted it.
    async fn apply(world: World<'a>, recipe: &str) -> Result<Self> {
        let this = Self::start(world, objects(recipe)?).await?;
        this.world.adopted("Deployment", &this.app).await?;
        Ok(this)
    }

    /// Applies the objects, the last of which is the Deployment; waits until it runs.
    async fn start(world: World<'a>, mut objects: Vec<Value>) -> Result<Self> {
        load(&world).await?;
        let workload = objects.last_mut().context("an empty recipe")?;
        let app = workload["metadata"]["name"].as_str().context("no name")?.to_owned();
        let spec = &mut workload["spec"]["template"]["spec"];
        spec["terminationGracePeriodSeconds"] = json!(0);
        for container in spec["containers"].as_array_mut().context("no containers")? {
            container["image"] = json!(IMAGE);
            container["imagePullPolicy"] = json!("Never");
            container["env"] = json!([{ "name": "LD_LIBRARY_PATH", "value": LIBRARIES }]);
        }
        world.apply(&objects).await?;
        world
            .cluster
            .rolled_out(&world.namespace, &format!("deployment/{app}"))
            .await?;
        let mut this = Self {
            world,
            app,
            pods: Vec::new(),
            containers: Value::Null,
        };
        this.pods = pod_uids(&this.world, &this.app).await?;
        this.containers = this.identities().await?;
        Ok(this)
    }

    /// Which containers run, and how often the kubelet has restarted them.
    async fn identities(&self) -> Result<Value> {
        let pods = self.world.pods(&self.app).await?;
        let statuses = pods.first().context("no pod")?["status"]["containerStatuses"].as_array();
        let of = |status: &Value| json!([status["name"], status["containerID"], status["restartCount"]]);
        Ok(statuses.context("no containers")?.iter().map(of).collect())
    }

    /// Everything happened in the same pod, in the same containers, none of which was ever restarted.
    async fn stayed(&self) -> Result<()> {
        assert_eq!(pod_uids(&self.world, &self.app).await?, self.pods, "the same pod");
        assert_eq!(self.identities().await?, self.containers, "the same containers");
        for container in self.containers.as_array().into_iter().flatten() {
            assert_eq!(container[2], 0, "no restart that the kubelet counts: {container}");
        }
        assert_eq!(self.world.rolls("Deployment", &self.app).await?, 0);
        Ok(())
    }

    async fn pod(&self) -> Result<Value> {
        self.world.pods(&self.app).await?.into_iter().next().context("no pod")
    }

    /// What the pod answers to a GET.
    async fn get(&self, port: u16, path: &str) -> Result<String> {
        self.ask(port, &format!("GET {path} HTTP/1.0\r\n\r\n")).await
    }

    /// What the pod answers to these lines before it closes the connection.
    async fn ask(&self, port: u16, question: &str) -> Result<String> {
        let pod = self.pod().await?;
        let ip = pod["status"]["podIP"].as_str().context("no podIP")?.to_owned();
        let exchange = async {
            let mut stream = TcpStream::connect((ip.as_str(), port)).await?;
            stream.write_all(question.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            anyhow::Ok(answer)
        };
        timeout(ANSWER, exchange).await.context("no answer")?
    }

    /// Waits until the pod answers so; how long it took since `written`.
    async fn answers(&self, port: u16, path: &str, text: &str, written: Instant) -> Result<Duration> {
        let look = async || {
            let answer = self.get(port, path).await.unwrap_or_else(|error| format!("{error:#}"));
            anyhow::Ok(answer.contains(text).then(|| written.elapsed()).ok_or(answer))
        };
        eventually(&format!("{text:?} from {}", self.app), LONG, look).await
    }

    /// Waits until a container's log says so.
    async fn logs(&self, container: &str, text: &str) -> Result<()> {
        let pod = name(&self.pod().await?);
        let arguments = ["logs", "-n", &self.world.namespace, &pod, "-c", container];
        let look = async || {
            let log = self.world.cluster.kubectl(&arguments).await?;
            anyhow::Ok(log.contains(text).then_some(()).ok_or_else(|| last_lines(&log)))
        };
        eventually(&format!("{text:?} in the log of {container}"), LONG, look).await
    }

    /// The first process of a container below its supervisor.
    async fn main_process(&self) -> Result<String> {
        let pod = name(&self.pod().await?);
        let look = ["sh", "-c", "cat /proc/1/task/1/children | cut -d' ' -f1"];
        Ok(self.world.cluster.exec(&self.world.namespace, &pod, &look).await?)
    }
}

/// A server whose recipe has its configuration in a ConfigMap, with `version 0` in it.
struct Server {
    /// Of the recipe, the ConfigMap and the container.
    name: &'static str,
    key: &'static str,
    /// Where it shows which version it has.
    port: u16,
    path: &'static str,
    /// What follows the version's number there.
    ends: &'static str,
    /// What makes the configuration a broken one when it is replaced by the other.
    whole: &'static str,
    broken: &'static str,
}

const NGINX: Server = Server {
    name: "nginx",
    key: "nginx.conf",
    port: 8080,
    path: "/",
    ends: "\n",
    whole: "\\n\"",
    broken: "",
};
const HAPROXY: Server = Server {
    name: "haproxy",
    key: "haproxy.cfg",
    ..NGINX
};
const PROMETHEUS: Server = Server {
    name: "prometheus",
    key: "prometheus.yml",
    port: 9090,
    path: "/api/v1/status/config",
    // In JSON.
    ends: "\\n",
    whole: "scrape_interval",
    broken: "scrape_intervall",
};

/// A server that is supervised takes four versions, keeps the last good one while a broken one is there, and takes the
/// mended one, in the same process throughout.
async fn a_supervised_server(world: World<'_>, server: &Server) -> Result<()> {
    let &Server {
        name: app, key, port, ..
    } = server;
    let manifest = format!("{app}.yaml");
    let recipe = Recipe::apply(world, &manifest).await?;
    let text = objects(&manifest)?[0]["data"][key]
        .as_str()
        .context("no configuration")?
        .to_owned();
    let write = async |text: String| recipe.world.config_map(app, json!({ key: text })).await;
    let version = |version: u32| text.replace("version 0", &format!("version {version}"));
    let shown = |version: u32| format!("version {version}{}", server.ends);
    let answers = async |version| recipe.answers(port, server.path, &shown(version), Instant::now()).await;
    answers(0).await?;
    let process = recipe.main_process().await?;

    let mut took = Vec::new();
    for round in 1..=4 {
        sleep(APART).await;
        write(version(round)).await?;
        took.push(answers(round).await?);
    }
    report(&format!("a changed object to {app} serving by it"), took);

    write(version(5).replace(server.whole, server.broken)).await?;
    recipe.logs(app, "the check failed").await?;
    assert!(recipe.get(port, server.path).await?.contains(&shown(4)));
    let file = format!("/run/{app}/{key}");
    let pod = name(&recipe.pod().await?);
    let seen = recipe
        .world
        .cluster
        .read_file(&recipe.world.namespace, &pod, &file)
        .await?;
    assert_eq!(seen, version(4), "the broken one is nowhere that {app} looks");
    write(version(6)).await?;
    answers(6).await?;

    assert_eq!(recipe.main_process().await?, process, "the same process");
    recipe.stayed().await
}

#[tokio::test]
async fn nginx_takes_a_new_configuration_and_never_sees_a_broken_one() -> Result<()> {
    let Some(world) = world("nginx").await? else {
        return Ok(());
    };
    a_supervised_server(world, &NGINX).await
}

#[tokio::test]
async fn haproxy_takes_a_new_configuration_and_never_sees_a_broken_one() -> Result<()> {
    let Some(world) = world("haproxy").await? else {
        return Ok(());
    };
    a_supervised_server(world, &HAPROXY).await
}

#[tokio::test]
async fn prometheus_takes_a_new_configuration_and_never_sees_a_broken_one() -> Result<()> {
    let Some(world) = world("prometheus").await? else {
        return Ok(());
    };
    a_supervised_server(world, &PROMETHEUS).await
}

#[tokio::test]
async fn nginx_takes_a_configuration_of_another_namespace_that_is_mounted_nowhere() -> Result<()> {
    let Some(world) = world("by-api").await? else {
        return Ok(());
    };
    let platform = world.cluster.namespace("platform").await?;
    let (elsewhere, here) = other_namespace(&platform, &world.namespace)?;
    world.cluster.apply(&elsewhere).await?;
    let recipe = Recipe::start(world, here).await?;
    recipe.answers(8080, "/", "version 0", Instant::now()).await?;
    let process = recipe.main_process().await?;

    let text = objects("nginx.yaml")?[0]["data"]["nginx.conf"]
        .as_str()
        .context("no configuration")?
        .to_owned();
    let path = format!("/api/v1/namespaces/{platform}/configmaps/nginx");
    let write = async |text: String| {
        let patch = json!({ "data": { "nginx.conf": text } }).to_string().into_bytes();
        let request = http::Request::patch(&path).header("content-type", "application/merge-patch+json");
        recipe.world.client.request::<Value>(request.body(patch)?).await?;
        anyhow::Ok(Instant::now())
    };
    let mut took = Vec::new();
    for round in 1..=4 {
        let version = format!("version {round}");
        let written = write(text.replace("version 0", &version)).await?;
        took.push(recipe.answers(8080, "/", &format!("{version}\n"), written).await?);
    }
    report("a changed object of another namespace to nginx serving by it", took);
    write(text.replace("version 0\\n\"", "version 5")).await?;
    recipe.logs("nginx", "the check failed").await?;
    assert!(recipe.get(8080, "/").await?.ends_with("version 4\n"));

    assert_eq!(recipe.main_process().await?, process, "the same process");
    recipe.stayed().await
}

/// The recipe's objects for two namespaces of the test: those of the other one, and those of the pod's.
pub(crate) fn other_namespace(platform: &str, own: &str) -> Result<(String, Vec<Value>)> {
    let (mut elsewhere, mut here) = (Vec::new(), Vec::new());
    for object in objects("other-namespace.yaml")? {
        let text = object.to_string().replace("platform", platform);
        let text = text.replace(r#""namespace":"default""#, &format!(r#""namespace":"{own}""#));
        let object: Value = serde_json::from_str(&text)?;
        if object["metadata"]["namespace"].is_null() {
            here.push(object);
        } else {
            elsewhere.push(object);
        }
    }
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": elsewhere });
    Ok((list.to_string(), here))
}

#[tokio::test]
async fn redis_takes_new_passwords_and_keeps_its_users_while_the_new_ones_are_wrong() -> Result<()> {
    let Some(world) = world("redis").await? else {
        return Ok(());
    };
    let recipe = Recipe::apply(world, "redis.yaml").await?;
    let text = objects("redis.yaml")?[0]["stringData"]["users.acl"]
        .as_str()
        .context("no users")?
        .to_owned();
    let write = async |text: String| recipe.world.secret("redis-users", json!({ "users.acl": text })).await;
    let auth = async |password: &str| recipe.ask(6379, &format!("AUTH app {password}\r\nQUIT\r\n")).await;
    let is_taken = async |password: &str| anyhow::Ok(auth(password).await?.starts_with("+OK"));
    let taken = async |password: &str, written: Instant| {
        let look = async || {
            let answer = auth(password).await.unwrap_or_else(|error| format!("{error:#}"));
            anyhow::Ok(answer.starts_with("+OK").then(|| written.elapsed()).ok_or(answer))
        };
        eventually(&format!("{password} is a password"), LONG, look).await
    };
    taken("version-0", Instant::now()).await?;
    let process = recipe.main_process().await?;

    let mut took = Vec::new();
    for round in 1..=3 {
        sleep(APART).await;
        let password = format!("version-{round}");
        write(text.replace("version-0", &password)).await?;
        took.push(taken(&password, Instant::now()).await?);
        assert!(
            !is_taken(&format!("version-{}", round - 1)).await?,
            "the old one is none"
        );
    }
    report("a changed Secret to Redis with the new password", took);
    write(text.replace("version-0", "version-4").replace("+@all", "+@everything")).await?;
    recipe
        .logs("redis", "no change to the previously active ACL rules was performed")
        .await?;
    assert!(is_taken("version-3").await?);
    write(text.replace("version-0", "version-5")).await?;
    taken("version-5", Instant::now()).await?;

    assert_eq!(recipe.main_process().await?, process, "the same process");
    recipe.stayed().await
}

#[tokio::test]
async fn a_program_that_reloads_by_http_is_asked_until_it_succeeds() -> Result<()> {
    let Some(world) = world("http-reload").await? else {
        return Ok(());
    };
    let recipe = Recipe::apply(world, "http-reload.yaml").await?;
    let modules = |version: &str| json!({ "blackbox.yml": format!("modules: {{{version}: {{prober: http}}}}\n") });
    recipe.answers(9115, "/config", "version_0", Instant::now()).await?;

    let mut took = Vec::new();
    for round in 1..=3 {
        sleep(APART).await;
        let version = format!("version_{round}");
        recipe.world.config_map("blackbox", modules(&version)).await?;
        took.push(recipe.answers(9115, "/config", &version, Instant::now()).await?);
    }
    report("a changed object to an exporter that was asked to reload", took);
    recipe
        .world
        .config_map("blackbox", json!({ "blackbox.yml": "modules: [" }))
        .await?;
    recipe.logs("afresh", "answered 500").await?;
    assert!(recipe.get(9115, "/config").await?.contains("version_3"));
    recipe.world.config_map("blackbox", modules("version_5")).await?;
    recipe.answers(9115, "/config", "version_5", Instant::now()).await?;

    recipe.stayed().await
}

/// Waits for the nth line of a file, from 1.
async fn line(file: &Path, nth: usize) -> Result<String> {
    let look = async || {
        let text = fs::read_to_string(file).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        anyhow::Ok(whole.lines().nth(nth - 1).map(str::to_owned).ok_or(text))
    };
    eventually(&format!("line {nth} of {}", file.display()), LONG, look).await
}

#[tokio::test]
async fn a_program_that_only_knows_its_environment_gets_a_new_one_in_the_same_container() -> Result<()> {
    let Some(world) = world("environment").await? else {
        return Ok(());
    };
    world.secret("password", json!({ "PASSWORD": "p0" })).await?;
    let recipe = Recipe::apply(world, "environment.yaml").await?;
    let world = &recipe.world;
    let starts = world
        .cluster
        .volume(&recipe.pods[0], "empty-dir", "tmp")?
        .join("starts");
    assert!(line(&starts, 1).await?.starts_with("0 p0 "));

    let mut took = Vec::new();
    for round in 1..=4 {
        sleep(APART).await;
        world
            .config_map("settings", json!({ "LEVEL": round.to_string() }))
            .await?;
        let written = Instant::now();
        let start = line(&starts, 1 + round).await?;
        took.push(written.elapsed());
        assert!(start.starts_with(&format!("{round} p0 ")), "{start}");
    }
    report("a changed object to a program restarted with it", took);
    sleep(APART).await;
    world.secret("password", json!({ "PASSWORD": "p1" })).await?;
    assert!(line(&starts, 6).await?.starts_with("4 p1 "));

    let text = fs::read_to_string(&starts)?;
    let processes: BTreeSet<_> = text.lines().filter_map(|line| line.split(' ').nth(2)).collect();
    assert_eq!(
        (text.lines().count(), processes.len()),
        (6, 6),
        "a start per change: {text}"
    );
    let last = text
        .lines()
        .last()
        .and_then(|line| line.split(' ').nth(2))
        .context("no start")?;
    assert_eq!(recipe.main_process().await?.trim(), last);
    let pod = name(&recipe.pod().await?);
    let look = ["cat", &format!("/proc/{last}/environ")];
    let environ = world.cluster.exec(&world.namespace, &pod, &look).await?;
    assert!(environ.split('\0').any(|variable| variable == "LEVEL=4"), "{environ:?}");
    let first = world
        .cluster
        .exec(&world.namespace, &pod, &["cat", "/proc/1/comm"])
        .await?;
    assert_eq!(first, "afresh\n", "process 1 is the supervisor");
    recipe.stayed().await
}
