//! `onrecord check`.

use super::{CheckArgs, EXIT_CONFIG, print_error, run};
use crate::app;
use crate::config::units::{show_duration, show_size};
use crate::config::{CatalogueRef, Config, SecretRef};
use crate::deliver::Store;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// File systems in memory (`statfs` magic numbers of tmpfs, ramfs and hugetlbfs).
const MEMORY: [u64; 3] = [0x0102_1994, 0x8584_58f6, 0x958458f6];

/// Tells what is wrong with a file, or what it would run.
pub(super) fn check(args: &CheckArgs) -> ExitCode {
    let config = match run::load(&args.config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let mut good = true;
    for source in &config.sources {
        let checked = app::routes(source).and_then(|routes| app::durabilities(&source.options, &routes));
        if let Err(error) = checked {
            print_error(&error);
            good = false;
        }
    }
    let certificates = match app::certificate_warnings(&config) {
        Ok(warnings) => warnings,
        Err(error) => {
            print_error(&error);
            good = false;
            Vec::new()
        }
    };
    if !good {
        return ExitCode::from(EXIT_CONFIG);
    }
    print!("{}", summary(&args.config, &config));
    for warning in config.warnings().into_iter().chain(certificates).chain(surroundings(&config)) {
        println!("warning: {warning}");
    }
    ExitCode::SUCCESS
}

/// What the file would run, in a few lines.
fn summary(file: &Path, config: &Config) -> String {
    let (sources, destinations) = (config.sources.len(), config.destinations.len());
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let mut out = format!(
        "{} is valid: {sources} source{}, {destinations} destination{}\n",
        file.display(),
        plural(sources),
        plural(destinations)
    );
    for source in &config.sources {
        let options = &source.options;
        let listen: Vec<String> = options.listen.iter().map(|address| config.url(address)).collect();
        let catalogues: Vec<String> = source.catalogues.iter().map(catalogue_name).collect();
        let _ = write!(out, "  source {}: {}", options.name, listen.join(", "));
        if !options.hosts.is_empty() {
            let _ = write!(out, " for {}", options.hosts.join(", "));
        }
        let prefix = if options.path_prefix.is_empty() {
            String::new()
        } else {
            format!(" (from {})", options.path_prefix)
        };
        let _ = write!(out, "{prefix} to {}", options.upstream.listed());
        let catalogues =
            if catalogues.is_empty() { "no catalogue".to_owned() } else { catalogues.join(", ") };
        let _ = writeln!(out, ", {catalogues}");
    }
    for destination in &config.destinations {
        let sources = if destination.sources.is_empty() {
            "all sources".to_owned()
        } else {
            destination.sources.join(", ")
        };
        let (age, size) = (show_duration(destination.interval), show_size(destination.object_bytes));
        let (name, prefix) = (&destination.name, &destination.prefix);
        let place = match &destination.store {
            Store::Dir(options) if prefix.is_empty() => format!("folder {}", options.path.display()),
            Store::Dir(options) => format!("folder {}", options.path.join(prefix).display()),
            Store::Azure(options) => format!("{}/{prefix}", options.container),
            Store::Gcs(options) => {
                let at = options.endpoint.as_ref().map_or_else(String::new, |url| format!(" at {url}"));
                format!("gs://{}/{prefix}{at}", options.bucket)
            }
            Store::Nats(options) => format!("{} on {}", options.subject.as_str(), options.servers.join(", ")),
            Store::S3(options) => {
                let at =
                    options.bucket.endpoint.as_ref().map_or_else(String::new, |url| format!(" at {url}"));
                format!("s3://{}/{prefix}{at}", options.bucket.name)
            }
        };
        let _ = writeln!(out, "  destination {name}: {place}, {sources}, every {age} or {size}");
    }
    let bound =
        config.spool.bytes.map_or_else(|| "half of the free space, at most 10GiB".to_owned(), show_size);
    let _ = writeln!(out, "  spool: {}, {bound}", config.spool.dir.display());
    let _ = writeln!(out, "  admin: http://{}", config.admin.listen);
    out
}

fn catalogue_name(catalogue: &CatalogueRef) -> String {
    match catalogue {
        CatalogueRef::Preset(name) => name.clone(),
        CatalogueRef::File(path) => path.display().to_string(),
    }
}

/// What this machine says to it now: looked at, not touched.
fn surroundings(config: &Config) -> Vec<String> {
    let mut out = Vec::new();
    let secrets: [(&str, &Option<SecretRef>); 2] =
        [("actors.fingerprint_key", &config.actors.fingerprint_key), ("evidence.key", &config.evidence.key)];
    for (key, secret) in secrets {
        if let Some(secret) = secret.as_ref().filter(|secret| !secret.is_there()) {
            out.push(format!("{key}: {} is not there now", secret.place()));
        }
    }
    let files =
        config.sources.iter().flat_map(|source| &source.catalogues).filter_map(|catalogue| match catalogue {
            CatalogueRef::File(path) => Some(("catalogue", path)),
            CatalogueRef::Preset(_) => None,
        });
    for (what, path) in files.chain(config.actors.directory.as_ref().map(|path| ("actors.directory", path))) {
        if !path.exists() {
            out.push(format!("{what}: file {} is not there now", path.display()));
        }
    }
    let rings = config.ring.dir.as_deref().unwrap_or(Path::new("/dev/shm"));
    if in_memory(rings) == Some(false) {
        out.push(format!(
            "ring.dir: {} is not in memory; write-back can stall requests there",
            rings.display()
        ));
    }
    if in_memory(&config.spool.dir) == Some(true) {
        let dir = config.spool.dir.display();
        out.push(format!(
            "spool.dir: {dir} is in memory; what waits there is gone after a restart of the machine"
        ));
    }
    out
}

/// Whether a folder, or the nearest one above it that is there, lies in memory.
fn in_memory(path: &Path) -> Option<bool> {
    let above = path.ancestors().map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path });
    let nearest = above.into_iter().find(|path| path.exists())?;
    let magic = u64::try_from(rustix::fs::statfs(nearest).ok()?.f_type).ok()?;
    Some(MEMORY.contains(&(magic & 0xffff_ffff)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    const TEXT: &str = r#"
[[source]]
name = "cma"
listen = ["127.0.0.1:8080", "127.0.0.1:8081"]
hosts = ["cma.example"]
upstream = "http://127.0.0.1:9000/base"
catalogues = ["contentful-management", "no/such.json"]
[[destination]]
name = "archive"
type = "dir"
path = "objects"
prefix = "audit/"
[actors]
fingerprint_key = { env = "ONRECORD_TEST_NEVER_SET" }
"#;

    #[test]
    fn a_valid_file_is_summed_up_in_the_words_of_its_keys() {
        let config = parse(Path::new("proxy.toml"), TEXT).unwrap();
        assert_eq!(
            summary(Path::new("proxy.toml"), &config),
            "proxy.toml is valid: 1 source, 1 destination\n  \
             source cma: http://127.0.0.1:8080, http://127.0.0.1:8081 for cma.example to http://127.0.0.1:9000/base, \
             contentful-management, no/such.json\n  \
             destination archive: folder objects/audit/, all sources, every 3m or 64MiB\n  \
             spool: onrecord-spool, half of the free space, at most 10GiB\n  \
             admin: http://127.0.0.1:9464\n"
        );
    }

    #[test]
    fn what_is_not_there_yet_is_a_warning() {
        let config = parse(Path::new("proxy.toml"), TEXT).unwrap();
        let told = surroundings(&config).join("\n");
        assert!(told.contains("ONRECORD_TEST_NEVER_SET is not there now"), "{told}");
        assert!(told.contains("no/such.json is not there now"), "{told}");
    }
}
