//! Every entity that the vendors' own audit logs name, by name, method and path.

use super::*;
use crate::routes::Action;

const ENV: &str = "/spaces/s/environments/e";

/// The 21 of Contentful's list, in its order and words.
const CONTENTFUL: [(&str, &str, &str, &str, Action); 41] = [
    ("Spaces", "PUT", "/spaces/s", "Space", Action::Update),
    ("Spaces", "DELETE", "/spaces/s", "Space", Action::Delete),
    ("Environments", "PUT", "/spaces/s/environments/e", "Environment", Action::Update),
    ("Environments", "DELETE", "/spaces/s/environments/e", "Environment", Action::Delete),
    ("UI config", "PUT", "~/ui_config", "UiConfig", Action::Update),
    (
        "Content model templates",
        "PUT",
        "/organizations/o/environment_templates/t",
        "EnvironmentTemplate",
        Action::Update,
    ),
    (
        "Content model templates",
        "DELETE",
        "/organizations/o/environment_templates/t",
        "EnvironmentTemplate",
        Action::Delete,
    ),
    (
        "Content model templates",
        "DELETE",
        "~/template_installations/t",
        "EnvironmentTemplateInstallation",
        Action::Uninstall,
    ),
    // A link to another space's entry is a field of the entry that holds it.
    ("References across spaces", "PUT", "~/entries/x", "Entry", Action::Update),
    ("Space enablements", "PUT", "/spaces/s/enablements", "SpaceEnablement", Action::Update),
    ("Editor interface", "PUT", "~/content_types/c/editor_interface", "EditorInterface", Action::Update),
    ("UI Extensions", "PUT", "~/extensions/x", "UiExtension", Action::Update),
    ("UI Extensions", "DELETE", "~/extensions/x", "UiExtension", Action::Delete),
    ("Entries", "PATCH", "~/entries/x", "Entry", Action::Update),
    ("Entries", "DELETE", "~/entries/x", "Entry", Action::Delete),
    ("Entries", "PUT", "~/entries/x/published", "Entry", Action::Publish),
    ("Entries", "DELETE", "~/entries/x/archived", "Entry", Action::Unarchive),
    ("Assets", "PUT", "~/assets/x", "Asset", Action::Update),
    ("Assets", "DELETE", "~/assets/x", "Asset", Action::Delete),
    ("Locales", "PUT", "~/locales/x", "Locale", Action::Update),
    ("Locales", "DELETE", "~/locales/x", "Locale", Action::Delete),
    ("Tags", "PUT", "~/tags/x", "Tag", Action::Update),
    ("Tags", "DELETE", "~/tags/x", "Tag", Action::Delete),
    ("Webhooks", "PUT", "/spaces/s/webhook_definitions/w", "Webhook", Action::Update),
    ("Webhooks", "DELETE", "/spaces/s/webhook_definitions/w", "Webhook", Action::Delete),
    ("Roles", "PUT", "/spaces/s/roles/r", "Role", Action::Update),
    ("Roles", "DELETE", "/spaces/s/roles/r", "Role", Action::Delete),
    // Snapshots are made by publishing and can only be read.
    ("Snapshots", "GET", "~/entries/x/snapshots/n", "Snapshot", Action::Read),
    ("Space membership", "PUT", "/spaces/s/space_memberships/m", "SpaceMembership", Action::Update),
    ("Space membership", "DELETE", "/spaces/s/space_memberships/m", "SpaceMembership", Action::Delete),
    ("API Keys", "PUT", "/spaces/s/api_keys/k", "ApiKey", Action::Update),
    ("API Keys", "DELETE", "/spaces/s/api_keys/k", "ApiKey", Action::Delete),
    ("Workflows", "PUT", "~/workflows/w", "Workflow", Action::Update),
    ("Workflows", "DELETE", "~/workflows/w", "Workflow", Action::Delete),
    ("Workflows", "PUT", "~/workflows/w/complete", "Workflow", Action::Complete),
    ("Tasks", "PUT", "~/entries/x/tasks/t", "Task", Action::Update),
    ("Tasks", "DELETE", "~/entries/x/tasks/t", "Task", Action::Delete),
    ("Releases", "PUT", "~/releases/r", "Release", Action::Update),
    ("Releases", "DELETE", "~/releases/r", "Release", Action::Delete),
    ("App installations", "PUT", "~/app_installations/a", "AppInstallation", Action::Update),
    ("App installations", "DELETE", "~/app_installations/a", "AppInstallation", Action::Delete),
];

/// microCMS's operations that have a public API.
const MICROCMS: [(&str, &str, &str, &str, Action); 9] = [
    ("create content", "POST", "/api/v1/news", "Content", Action::Create),
    ("create content", "PUT", "/api/v1/news/c", "Content", Action::Create),
    ("update content", "PATCH", "/api/v1/news/c", "Content", Action::Update),
    ("delete content", "DELETE", "/api/v1/news/c", "Content", Action::Delete),
    ("update content, delete draft", "PATCH", "/api/v1/contents/news/c/status", "Content", Action::Update),
    ("update creator", "PATCH", "/api/v1/contents/news/c/createdBy", "Content", Action::Update),
    (
        "update reservation settings",
        "PUT",
        "/api/v1/contents/news/c/reservation",
        "Content",
        Action::Schedule,
    ),
    ("add media", "POST", "/api/v1/media", "Media", Action::Create),
    ("delete media", "DELETE", "/api/v2/media", "Media", Action::Delete),
];

fn hold(catalogue: &str, host: &str, rows: &[(&str, &str, &str, &str, Action)]) {
    let table = RouteTable::build(&[Catalogue::preset(catalogue).unwrap()], host).unwrap();
    for (name, method, path, resource, action) in rows {
        let path = path.replacen('~', ENV, 1);
        let found = table.find(method.as_bytes(), path.as_bytes());
        let route = table.route(found.unwrap_or_else(|| panic!("{name}: no route of {method} {path}")).route);
        assert_eq!(
            (route.resource_type.as_str(), route.action),
            (*resource, *action),
            "{name}: {method} {path}"
        );
        assert!(route.category.is_some(), "{name}: no category");
    }
}

#[test]
fn each_entity_of_contentfuls_audit_log_has_its_type_and_action() {
    hold("contentful-management", "api.contentful.com", &CONTENTFUL);
    let names: std::collections::BTreeSet<&str> = CONTENTFUL.iter().map(|row| row.0).collect();
    assert_eq!(names.len(), 21);
}

#[test]
fn each_operation_of_microcms_that_has_an_api_has_its_type_and_action() {
    let (content, management) = (&MICROCMS[..4], &MICROCMS[4..]);
    hold("microcms", "blog.microcms.io", content);
    hold("microcms", "blog.microcms-management.io", management);
}
