//! Builds what workers serve from what the configuration names: loads catalogues, makes
//! route tables, and joins them with the rules of capture.

use super::StartError;
use super::actors::Actors;
use crate::capture::ClientTable;
use crate::capture::actor::ActorRules;
use crate::capture::redact::Redactor;
use crate::capture::{Durabilities, Inspection, SourcePlan};
use crate::config::{CatalogueRef, Config, SourceConfig};
use crate::enrich::actor::Identify;
use crate::inspect::{BodyPlans, Queue};
use crate::metrics::Families;
use crate::patterns::Patterns;
use crate::proxy::{OddPaths, SourceOptions, UpstreamShared};
use crate::routes::{Catalogue, CatalogueFormat, CatalogueProblem, Pointers, Route, RouteTable};
use crate::server::SiteOptions;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Builds all sources. `config` is checked; what can still fail is what it names.
pub(super) fn build(
    config: &Config,
    actors: &Actors,
    refusing: &Arc<AtomicBool>,
    queue: &Queue,
    metrics: &Families,
    upstreams: &[Arc<UpstreamShared>],
    clients: Option<Arc<ClientTable>>,
) -> Result<SiteOptions, StartError> {
    let patterns = patterns(config)?;
    let sources = config.sources.iter().map(|source| {
        let routes = Arc::new(routes(source)?);
        let mut options = source.options.clone();
        if options.namespace.is_empty() {
            routes.namespace().unwrap_or("api").clone_into(&mut options.namespace);
        }
        options.odd_paths = Some(odd_paths(&options, &routes));
        let labels = SourcePlan::labels(&options.name, &routes);
        let durabilities = durabilities(&options, &routes)?;
        let redacted = config.redact.query.iter().chain(routes.secret_query()).map(String::as_str);
        let plan = SourcePlan {
            name: options.name.clone(),
            namespace: options.namespace.clone(),
            path_prefix: options.path_prefix.clone(),
            organization: options.organization.clone(),
            organizations: actors.organizations(&options.namespace),
            trusted_proxies: options.trusted_proxies.clone(),
            actor: actor_rules(&options, &routes)?,
            redactor: Arc::new(Redactor::new(redacted)),
            patterns: patterns.clone(),
            fingerprinter: Arc::clone(&actors.fingerprinter),
            tokens: actors.handover(&options.name),
            labels,
            collector: metrics.requests.clone(),
            durabilities,
            inspection: (config.meaning.bodies.bytes > 0).then(|| Inspection {
                plans: Arc::new(
                    BodyPlans::new(&routes, &|route| more(source, route)).with_patterns(patterns.clone()),
                ),
                queue: queue.clone(),
            }),
            routes,
        };
        Ok((options, Arc::new(plan)))
    });
    Ok(SiteOptions {
        sources: sources.collect::<Result<_, StartError>>()?,
        upstreams: upstreams.to_vec(),
        max_in_flight: config.server.max_in_flight,
        refusing: Arc::clone(refusing),
        clients,
    })
}

/// What the operator's patterns take out of records; `None` without any.
///
/// # Errors
/// Never with a configuration that was read: each was compiled then.
pub(super) fn patterns(config: &Config) -> Result<Option<Arc<Patterns>>, StartError> {
    let redact = &config.redact;
    let patterns = Patterns::new(&redact.patterns, &redact.query_patterns);
    let patterns = patterns.map_err(|error| StartError::Key { key: "[redact]", why: error.to_string() })?;
    Ok(patterns.map(Arc::new))
}

/// What is looked for in bodies beside what the catalogue wants of them.
fn more(source: &SourceConfig, route: &Route) -> Pointers {
    let learns = source.identify.contains(&Identify::Learned);
    if learns { route.learn_pointers() } else { Pointers::default() }
}

/// What becomes of odd paths: where a request could mean something grave to the upstream
/// that the gateway does not see, it is refused unless the operator says otherwise.
#[must_use]
pub fn odd_paths(options: &SourceOptions, routes: &RouteTable) -> OddPaths {
    let sensitive = || routes.routes().iter().any(|route| route.flags & Route::SENSITIVE != 0);
    options.odd_paths.unwrap_or_else(|| match options.durability.has_strict() || sensitive() {
        true => OddPaths::Refuse,
        false => OddPaths::Pass,
    })
}

/// The classes of one source, by row of its counters.
///
/// # Errors
/// When a rule names a route that is not there.
pub fn durabilities(options: &SourceOptions, routes: &RouteTable) -> Result<Durabilities, StartError> {
    let labels = SourcePlan::labels(&options.name, routes);
    options.durability.resolve(&labels, routes).map_err(|unknown| StartError::Durability {
        source_name: options.name.clone(),
        problems: unknown.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    })
}

/// The routes of one source, from all of its catalogues.
///
/// # Errors
/// When a catalogue can't be read, or has problems by itself or beside the others.
pub fn routes(source: &SourceConfig) -> Result<RouteTable, StartError> {
    let api_host = source.api_host.as_deref().unwrap_or(source.options.upstream.host());
    let mut table = table(&source.options.name, &source.catalogues, api_host)?;
    if let Some(placeholder) = &source.organization_placeholder {
        table.take_organization_from(placeholder);
    }
    Ok(table)
}

/// The routes of these catalogues; `source` names them in errors.
///
/// # Errors
/// When a catalogue can't be read, or has problems by itself or beside the others.
pub fn table(source: &str, catalogues: &[CatalogueRef], api_host: &str) -> Result<RouteTable, StartError> {
    let catalogues = catalogues.iter().map(|reference| load(source, reference));
    let catalogues = catalogues.collect::<Result<Vec<_>, _>>()?;
    RouteTable::build(&catalogues, api_host).map_err(|problems| refused(source, &problems))
}

fn load(source: &str, reference: &CatalogueRef) -> Result<Catalogue, StartError> {
    match reference {
        CatalogueRef::Preset(name) => Catalogue::preset(name).ok_or_else(|| StartError::Catalogue {
            source_name: source.to_owned(),
            problems: format!("there is no preset {name}"),
        }),
        CatalogueRef::File(path) => {
            let text = std::fs::read_to_string(path).map_err(|source| StartError::Read {
                what: "catalogue",
                path: path.clone(),
                source,
            })?;
            Catalogue::parse(&path.to_string_lossy(), &text, format_of(path))
                .map_err(|problems| refused(source, &problems))
        }
    }
}

fn format_of(path: &Path) -> CatalogueFormat {
    if path.extension().is_some_and(|extension| extension == "toml") {
        CatalogueFormat::Toml
    } else {
        CatalogueFormat::Json
    }
}

fn refused(source: &str, problems: &[CatalogueProblem]) -> StartError {
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    StartError::Catalogue { source_name: source.to_owned(), problems: problems.join("\n") }
}

fn actor_rules(options: &SourceOptions, routes: &RouteTable) -> Result<ActorRules, StartError> {
    ActorRules::new(routes.api_key_headers(), &options.api_key_headers, &options.actor_headers)
        .map_err(|error| StartError::Key { key: "[source.actor]", why: error.to_string() })
}
