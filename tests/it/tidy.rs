//! What the code must not do, looked up in its text.
//!
//! Each check is a function from text to what is wrong with it, and is shown a bad text, too.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A file: its path from the root of the project, and its text.
struct File {
    path: String,
    text: String,
}

impl File {
    fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    /// Whether it is compiled for tests only.
    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files below some folders that end so.
fn files(folders: &[&str], ending: &str) -> Vec<File> {
    let mut files = Vec::new();
    for folder in folders {
        collect(&root(), Path::new(folder), ending, &mut files);
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(!files.is_empty(), "no {ending} below {folders:?}");
    files
}

fn collect(root: &Path, folder: &Path, ending: &str, files: &mut Vec<File>) {
    for entry in fs::read_dir(root.join(folder)).unwrap() {
        let name = entry.unwrap().file_name();
        let path = folder.join(&name);
        let name = name.to_str().unwrap();
        if root.join(&path).is_dir() {
            if !["target", "node_modules", "dist"].contains(&name) && !name.starts_with('.') {
                collect(root, &path, ending, files);
            }
        } else if name.ends_with(ending) {
            let text = fs::read_to_string(root.join(&path)).unwrap();
            files.push(File::new(path.to_str().unwrap(), &text));
        }
    }
}

fn read(path: &str) -> File {
    let text = fs::read_to_string(root().join(path)).unwrap_or_else(|error| {
        panic!("{path}: {error}");
    });
    File::new(path, &text)
}

/// Nothing is wrong with any of the files.
#[track_caller]
fn check(files: &[File], problem: impl Fn(&File) -> Vec<String>) {
    let mut problems = Vec::new();
    for file in files {
        let found = problem(file).into_iter();
        problems.extend(found.map(|it| format!("{}: {it}", file.path)));
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// The check finds this in a file that is made up.
#[track_caller]
fn finds(path: &str, text: &str, problem: impl Fn(&File) -> Vec<String>, expected: &[&str]) {
    assert_eq!(problem(&File::new(path, text)), expected, "{path}: {text}");
}

/// A Rust text taken apart: its code without comments and with empty literals, and its literals.
#[derive(Default)]
struct Taken {
    code: String,
    literals: Vec<String>,
}

fn take_apart(text: &str) -> Taken {
    let mut taken = Taken::default();
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        if rest.starts_with("//") {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
        } else if rest.starts_with("/*") {
            rest = rest.find("*/").map_or("", |end| &rest[end + 2..]);
        } else if let Some(n_hashes) = raw_hashes(rest, &taken.code) {
            let end = format!("\"{}", "#".repeat(n_hashes));
            let body = &rest[n_hashes + 2..];
            let len = body.find(&end).unwrap_or(body.len());
            taken.literals.push(body[..len].to_owned());
            taken.code.push_str("\"\"");
            rest = body.get(len + end.len()..).unwrap_or("");
        } else if char == '"' {
            let len = quoted_len(&rest[1..]);
            taken.literals.push(rest[1..=len].to_owned());
            taken.code.push_str("\"\"");
            rest = rest.get(len + 2..).unwrap_or("");
        } else if let Some(len) = char_literal_len(rest) {
            taken.code.push_str("' '");
            rest = &rest[len..];
        } else {
            taken.code.push(char);
            rest = &rest[char.len_utf8()..];
        }
    }
    taken
}

/// How many hashes a raw literal begins with, if one begins here.
fn raw_hashes(rest: &str, before: &str) -> Option<usize> {
    let is_inside_word = before.ends_with(|it: char| it.is_alphanumeric() || it == '_');
    let is_bytes = before.ends_with('b') && !before.ends_with("_b");
    let body = rest
        .strip_prefix('r')
        .filter(|_| !is_inside_word || is_bytes)?;
    let quote = body.trim_start_matches('#');
    quote.starts_with('"').then_some(body.len() - quote.len())
}

/// How long a literal is to its closing quote.
fn quoted_len(body: &str) -> usize {
    let mut is_escaped = false;
    for (place, char) in body.char_indices() {
        match char {
            '"' if !is_escaped => return place,
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    body.len()
}

/// The length of a character between quotes; a lifetime is none.
fn char_literal_len(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix('\'')?;
    let mut chars = body.chars();
    let first = chars.next()?;
    if first == '\\' {
        let end = body.get(2..)?.find('\'')?;
        return Some(end + 4);
    }
    (chars.next() == Some('\'')).then_some(first.len_utf8() + 2)
}

/// The words of a text, in order.
fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|it: char| !it.is_alphanumeric() && it != '_')
        .filter(|word| !word.is_empty())
}

/// The modules at the root of the crate that the code names: `crate::x`, `crate::{x, y::Z}`.
/// What the root passes on, `crate::Error`, is of the module `error`.
fn modules_named(code: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for place in code
        .match_indices("crate::")
        .map(|(place, it)| place + it.len())
    {
        let after = &code[place..];
        let items = match after.strip_prefix('{') {
            Some(list) => top_level_items(list),
            None => vec![after],
        };
        for item in items {
            match words(item).next() {
                Some("Error" | "Result") => named.insert("error".to_owned()),
                Some(word) => named.insert(word.to_owned()),
                None => false,
            };
        }
    }
    named
}

/// The items of a list that ends at its closing brace.
fn top_level_items(list: &str) -> Vec<&str> {
    let (mut depth, mut start, mut items) = (0, 0, Vec::new());
    for (place, char) in list.char_indices() {
        match char {
            '{' => depth += 1,
            '}' if depth == 0 => {
                items.push(&list[start..place]);
                return items;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(&list[start..place]);
                start = place + 1;
            }
            _ => {}
        }
    }
    items
}

/// Which module of `shared` may name which others, besides those that everyone may name.
const MAY_NAME: [(&str, &[&str]); 14] = [
    ("config", &[]),
    ("ids", &[]),
    ("profile", &[]),
    ("telemetry", &[]),
    ("tls", &[]),
    ("auth", &[]),
    ("clerk", &[]),
    ("db", &[]),
    ("webhook", &["clerk"]),
    ("error", &["auth", "clerk", "db", "webhook"]),
    ("sync", &["clerk", "webhook", "db", "error"]),
    ("http", &["error", "auth", "webhook"]),
    ("schedule", &["error", "http"]),
    ("gate", &["auth", "clerk", "db", "error", "http", "sync"]),
];
/// Modules that know nothing of the others, and that the others may name.
const LEAVES: [&str; 5] = ["config", "ids", "profile", "telemetry", "tls"];

/// What a module of `shared` names and must not.
fn forbidden_imports(file: &File) -> Vec<String> {
    let module = file.path.strip_prefix("shared/src/").unwrap_or_default();
    let module = module.split(['/', '.']).next().unwrap_or_default();
    let Some((_, allowed)) = MAY_NAME.iter().find(|(name, _)| *name == module) else {
        return vec![format!("the module {module} has no rule")];
    };
    let code = take_apart(&file.text).code;
    let is_allowed = |name: &str| {
        name == module || allowed.contains(&name) || LEAVES.contains(&name) || !is_module(name)
    };
    let is_forbidden = |name: &String| !is_allowed(name);
    let mut problems: Vec<String> = modules_named(&code)
        .into_iter()
        .filter(is_forbidden)
        .collect();
    // `super` leads to a sibling as well.
    let siblings = ["auth", "clerk", "db"].into_iter().filter(|sibling| {
        !allowed.contains(sibling)
            && *sibling != module
            && code.contains(&format!("super::{sibling}::"))
    });
    problems.extend(siblings.map(str::to_owned));
    problems
}

fn is_module(name: &str) -> bool {
    MAY_NAME.iter().any(|(module, _)| *module == name)
}

#[test]
fn modules_import_only_what_they_may() {
    let files: Vec<File> = files(&["shared/src"], ".rs")
        .into_iter()
        .filter(|file| !file.is_test() && !file.path.starts_with("shared/src/bin/"))
        .filter(|file| file.path != "shared/src/lib.rs")
        .collect();
    check(&files, forbidden_imports);

    let finds = |path, text, expected: &[&str]| finds(path, text, forbidden_imports, expected);
    finds(
        "shared/src/db/users.rs",
        "use crate::clerk::User;",
        &["clerk"],
    );
    finds("shared/src/db.rs", "use crate::{auth, ids};", &["auth"]);
    finds("shared/src/auth.rs", "let a: crate::db::Db;", &["db"]);
    finds("shared/src/clerk.rs", "use super::db::Db;", &["db"]);
    finds(
        "shared/src/clerk/retry.rs",
        "use crate::{\n  config::{self, db},\n  db::{Db, Error},\n};",
        &["db"],
    );
    finds("shared/src/auth/keys.rs", "use crate::Error;", &["error"]);
    finds("shared/src/new.rs", "", &["the module new has no rule"]);
    finds(
        "shared/src/db.rs",
        "// use crate::clerk;\n\"crate::clerk\"",
        &[],
    );
    finds("shared/src/sync.rs", "use crate::{clerk, db};", &[]);
}

/// Literals that are SQL.
fn sql(file: &File) -> Vec<String> {
    let literals = take_apart(&file.text).literals;
    literals.into_iter().filter(|it| is_sql(it)).collect()
}

fn is_sql(literal: &str) -> bool {
    // The literal as it is written: a line break is an escape.
    let written = literal.replace("\\n", " ");
    let literal = written.to_lowercase();
    let mut words = words(&literal);
    let first = words.next().unwrap_or_default();
    let rest: Vec<&str> = words.collect();
    let has = |word: &str| rest.contains(&word);
    match first {
        "select" => {
            // "Select a role." is a sentence.
            let begin = written.trim_start().get(..7);
            matches!(begin, Some("select " | "SELECT ")) || has("from")
        }
        "insert" => has("into"),
        "delete" => has("from"),
        "update" => has("set"),
        "with" => has("as") && has("select"),
        "create" | "alter" | "drop" => {
            let kinds = [
                "table", "index", "type", "function", "trigger", "sequence", "database",
            ];
            rest.iter().take(3).any(|word| kinds.contains(word))
        }
        "begin" | "commit" | "rollback" => literal.trim() == first,
        "truncate" => !rest.is_empty(),
        _ => false,
    }
}

/// The folders with code that is not a test.
const CODE: [&str; 5] = [
    "shared",
    "functions",
    "clerk-sync",
    "clerk-emulator",
    "lambda-host",
];

#[test]
fn sql_is_written_for_the_database_module_only() {
    let code = CODE;
    let outside = |file: &File| {
        !file.path.starts_with("shared/src/db/")
            && file.path != "shared/src/db.rs"
            && !file.path.starts_with("shared/migrations/")
    };
    let rust: Vec<File> = files(&code, ".rs").into_iter().filter(outside).collect();
    check(&rust, sql);
    let statements = files(&code, ".sql");
    let misplaced: Vec<&str> = statements
        .iter()
        .filter(|file| outside(file))
        .map(|file| file.path.as_str())
        .collect();
    assert_eq!(misplaced, Vec::<&str>::new());

    let statements = [
        "select 1",
        "\\n  INSERT INTO users (id) values ($1)",
        "update users set role = 'ADMIN'",
        "with a as (select 1) select * from a",
        "create unique index i on users (id)",
        "commit",
    ];
    for statement in statements {
        let text = format!("client.query(\"{statement}\")");
        finds("shared/src/sync/push.rs", &text, sql, &[statement]);
    }
    let raw = "r#\"delete from users\"#";
    finds("functions/a/src/lib.rs", raw, sql, &["delete from users"]);
    for prose in [
        "\"Select a role.\"",
        "\"create a user\"",
        "\"-----BEGIN \"",
        "// delete from users\n",
        "'\"' ; f(\"update\")",
    ] {
        finds("shared/src/sync.rs", prose, sql, &[]);
    }
}

/// Whether the code names the word.
fn names(word: &'static str) -> impl Fn(&File) -> Vec<String> {
    move |file| {
        let code = take_apart(&file.text).code;
        let is_named = words(&code).any(|it| it == word);
        is_named.then(|| word.to_owned()).into_iter().collect()
    }
}

#[test]
fn lambda_http_is_named_by_the_http_module_only() {
    let files: Vec<File> = files(&CODE, ".rs")
        .into_iter()
        .filter(|file| !file.path.starts_with("shared/src/http"))
        .collect();
    check(&files, names("lambda_http"));
    let use_it = "use ::lambda_http::Body;";
    finds("a.rs", use_it, names("lambda_http"), &["lambda_http"]);
    finds("a.rs", "// lambda_http\n", names("lambda_http"), &[]);
}

/// What reads the environment without leave.
fn environment(file: &File) -> Vec<String> {
    let Taken { code, literals } = take_apart(&file.text);
    let reads = ["env::var", "env::vars"];
    let n_reads: usize = reads
        .iter()
        .map(|it| code.matches(&format!("{it}(")).count())
        .sum::<usize>()
        + code.matches("env::var_os(").count();
    if n_reads == 0 {
        return Vec::new();
    }
    let is_development = ["clerk-emulator/src/main.rs", "lambda-host/src/main.rs"]
        .contains(&file.path.as_str())
        || file.path.starts_with("lambda-host/examples/")
        || file.is_test();
    let has_reason = code.contains("expect(")
        && code.contains("clippy::disallowed_methods")
        && code.contains("reason = \"\"")
        && literals.iter().any(|literal| !literal.is_empty());
    if file.path == "shared/src/config.rs" && n_reads == 1 {
        return Vec::new();
    }
    if !is_development {
        return vec!["reads the environment".to_owned()];
    }
    if has_reason {
        Vec::new()
    } else {
        vec!["reads the environment and does not say why".to_owned()]
    }
}

#[test]
fn the_environment_is_read_in_one_place() {
    check(&files(&CODE, ".rs"), environment);
    let finds = |path, text, expected: &[&str]| finds(path, text, environment, expected);
    let read = "let a = std::env::var(\"A\");";
    let with_reason =
        format!("#[expect(clippy::disallowed_methods, reason = \"a program\")]\n{read}");
    finds("shared/src/db.rs", read, &["reads the environment"]);
    finds("shared/src/db.rs", &with_reason, &["reads the environment"]);
    finds(
        "functions/a/src/main.rs",
        "env::var_os(A)",
        &["reads the environment"],
    );
    finds(
        "clerk-emulator/src/api.rs",
        &with_reason,
        &["reads the environment"],
    );
    finds(
        "clerk-emulator/src/main.rs",
        read,
        &["reads the environment and does not say why"],
    );
    finds("clerk-emulator/src/main.rs", &with_reason, &[]);
    finds("shared/src/config.rs", read, &[]);
    finds(
        "shared/src/config.rs",
        &format!("{read}{read}"),
        &["reads the environment"],
    );
}

/// The keys of a section of a manifest.
fn section<'a>(manifest: &'a str, name: &str) -> Vec<&'a str> {
    let head = format!("[{name}]");
    let lines = manifest.lines().map(str::trim);
    lines
        .skip_while(|line| *line != head)
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            Some(
                line.split_once('=')?
                    .0
                    .split('.')
                    .next()?
                    .trim()
                    .trim_matches('"'),
            )
        })
        .collect()
}

/// What a manifest depends on and must not.
fn forbidden_dependencies(file: &File) -> Vec<String> {
    let folder = file.path.strip_suffix("/Cargo.toml").unwrap_or_default();
    let is_function = folder.starts_with("functions/");
    let ours = functions();
    let mut names = section(&file.text, "dependencies");
    names.extend(section(&file.text, "build-dependencies"));
    // One that has a section of its own.
    let own = file.text.lines().filter_map(|line| {
        line.trim()
            .strip_prefix("[dependencies.")?
            .strip_suffix(']')
    });
    names.extend(own);
    let is_forbidden = |name: &&str| {
        let is_ours = ours.iter().any(|function| function == name);
        let is_development = ["clerk-emulator", "lambda-host", "tests"].contains(name);
        match folder {
            "shared" => is_ours || is_development,
            // The command tells why in the words of the panel.
            "clerk-sync" => (is_ours && *name != "admin-sync") || is_development,
            "clerk-emulator" | "lambda-host" => is_ours || is_development || *name == "shared",
            _ if is_function => is_ours || is_development || *name == "lambda_http",
            _ => false,
        }
    };
    names
        .into_iter()
        .filter(is_forbidden)
        .map(str::to_owned)
        .collect()
}

/// The folders in `functions/`.
fn functions() -> Vec<String> {
    let entries = fs::read_dir(root().join("functions")).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(names.len() >= 4, "{names:?}");
    names
}

#[test]
fn nothing_shipped_depends_on_a_function_or_on_what_is_for_development() {
    let mut manifests = files(&["functions"], "Cargo.toml");
    for package in ["shared", "clerk-sync", "clerk-emulator", "lambda-host"] {
        manifests.push(read(&format!("{package}/Cargo.toml")));
    }
    check(&manifests, forbidden_dependencies);
    let finds = |path, text, expected: &[&str]| finds(path, text, forbidden_dependencies, expected);
    finds(
        "functions/update-role/Cargo.toml",
        "[dependencies]\nshared.workspace = true\nadmin-users = { path = \"../admin-users\" }",
        &["admin-users"],
    );
    finds(
        "shared/Cargo.toml",
        "[dependencies.clerk-emulator]\nworkspace = true",
        &["clerk-emulator"],
    );
    finds(
        "shared/Cargo.toml",
        "[dependencies]\nlambda-host = \"1\"",
        &["lambda-host"],
    );
    finds(
        "clerk-emulator/Cargo.toml",
        "[dependencies]\nshared.workspace = true",
        &["shared"],
    );
    finds(
        "shared/Cargo.toml",
        "[dependencies]\nserde = \"1\"\n[dev-dependencies]\nclerk-emulator.workspace = true",
        &[],
    );
}

#[test]
fn no_function_names_another() {
    let is_another = |file: &File| -> Vec<String> {
        let own = file.path.split('/').nth(1).unwrap_or_default();
        let code = take_apart(&file.text).code;
        let names = functions().into_iter().filter(|name| name != own);
        names
            .map(|name| name.replace('-', "_"))
            .filter(|name| code.contains(&format!("{name}::")))
            .collect()
    };
    check(&files(&["functions"], ".rs"), is_another);
    finds(
        "functions/update-role/src/lib.rs",
        "use admin_users::handle;",
        is_another,
        &["admin_users"],
    );
    let own = "use admin_users::handle;";
    finds("functions/admin-users/src/main.rs", own, is_another, &[]);
}

#[test]
fn what_only_decides_does_not_wait() {
    let mut pure = files(&["shared/src/webhook", "shared/src/sync/merge"], ".rs");
    for path in [
        "webhook.rs",
        "sync/merge.rs",
        "sync/role.rs",
        "ids.rs",
        "config.rs",
    ] {
        pure.push(read(&format!("shared/src/{path}")));
    }
    for word in ["async", "await", "tokio", "reqwest", "tokio_postgres"] {
        check(&pure, names(word));
    }
    finds("a.rs", "async fn a() {}", names("async"), &["async"]);
    finds("a.rs", "a().await", names("await"), &["await"]);
    finds(
        "a.rs",
        "/// Asks async.\nfn a(asynchronous: &'a str) {}",
        names("async"),
        &[],
    );
}

/// What is wrong with a function's folder.
fn function_problems(name: &str, manifest: &str, has_main: bool) -> Vec<&'static str> {
    let package = manifest.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "name").then_some(value.trim().trim_matches('"'))
    });
    let checks = [
        (has_main, "has no src/main.rs"),
        (package == Some(name), "is another package"),
        (!manifest.contains("[[bin]]"), "renames its binary"),
        (
            !section(manifest, "package").contains(&"autobins"),
            "has no binary by default",
        ),
    ];
    let bad = checks.into_iter().filter(|(is_good, _)| !is_good);
    bad.map(|(_, problem)| problem).collect()
}

/// Netlify finds a function by its folder, and builds the binary of that name.
#[test]
fn every_folder_of_a_function_is_a_package_and_a_binary_of_its_name() {
    for name in functions() {
        let folder = root().join("functions").join(&name);
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let has_main = folder.join("src/main.rs").is_file();
        assert_eq!(
            function_problems(&name, &manifest, has_main),
            Vec::<&str>::new(),
            "{name}"
        );
    }
    let good = "[package]\nname = \"a\"";
    assert_eq!(function_problems("a", good, true), Vec::<&str>::new());
    assert_eq!(function_problems("a", good, false), ["has no src/main.rs"]);
    assert_eq!(function_problems("b", good, true), ["is another package"]);
    let renamed = format!("{good}\n[[bin]]\nname = \"b\"");
    assert_eq!(
        function_problems("a", &renamed, true),
        ["renames its binary"]
    );
}

/// The names that no row of a table has.
fn untold(readme: &str, names: &[String]) -> Vec<String> {
    let rows: Vec<&str> = readme
        .lines()
        .filter(|line| line.trim_start().starts_with('|'))
        .collect();
    let is_told = |name: &String| rows.iter().any(|row| row.contains(&format!("`{name}`")));
    names
        .iter()
        .filter(|name| !is_told(name))
        .cloned()
        .collect()
}

#[test]
fn the_readme_has_every_function_in_its_table() {
    let names = ["a".to_owned(), "b".to_owned()];
    assert_eq!(untold("`a`\n\n| `b` | does |", &names), ["a"]);
    assert_eq!(untold("| `a` |\n| `b` |", &names), Vec::<String>::new());
    let readme = read("README.md");
    assert_eq!(untold(&readme.text, &functions()), Vec::<String>::new());
}

/// The types of events that the code handles.
fn event_types(text: &str) -> BTreeSet<String> {
    let is_type = |literal: &String| {
        let (object, verb) = literal.split_once('.').unwrap_or_default();
        !object.is_empty()
            && object.bytes().all(|byte| byte.is_ascii_alphabetic())
            && ["created", "updated", "deleted"].contains(&verb)
    };
    let literals = take_apart(text).literals;
    literals.into_iter().filter(is_type).collect()
}

#[test]
fn every_event_that_is_handled_has_a_fixture() {
    let handled = event_types(&read("shared/src/webhook/event.rs").text);
    assert!(
        handled.len() >= 3 && handled.contains("user.deleted"),
        "{handled:?}"
    );
    for event_type in handled {
        let path = format!("tests/fixtures/events/{event_type}.json");
        let event: serde_json::Value = serde_json::from_str(&read(&path).text).unwrap();
        assert_eq!(event["type"], event_type, "{path}");
        assert_eq!(event["object"], "event", "{path}");
    }
    let text = "match kind { \"team.created\" => 1, \"a.b\" => 2 } // \"no.updated\"";
    assert!(event_types(text).into_iter().eq(["team.created"]));
}

/// Each type is a metric of its own: nothing is counted by name that is not handled.
#[test]
fn every_event_that_is_handled_is_counted_by_its_name() {
    let handled = event_types(&read("shared/src/webhook/event.rs").text);
    let counted = event_types(&read("shared/src/telemetry/metrics.rs").text);
    assert_eq!(counted, handled);
}

/// The metrics that are measured.
fn metrics(text: &str) -> Vec<String> {
    let code = take_apart(text).code;
    let (_, body) = code.split_once("pub enum Metric {").unwrap_or_default();
    let (body, _) = body.split_once('}').unwrap_or_default();
    words(body).map(str::to_owned).collect()
}

#[test]
fn the_readme_has_every_metric_in_its_table() {
    let text = "pub enum Metric {\n  /// How long.\n  Duration,\n  Failed,\n}\nenum Other { A }";
    assert_eq!(metrics(text), ["Duration", "Failed"]);
    let measured = metrics(&read("shared/src/telemetry/metrics.rs").text);
    assert!(measured.len() >= 10, "{measured:?}");
    assert_eq!(
        untold(&read("README.md").text, &measured),
        Vec::<String>::new()
    );
}

/// What is wrong with how a file opens.
fn opening(file: &File) -> Vec<String> {
    let line = file.text.lines().next().unwrap_or_default();
    let is_good = line
        .strip_prefix("//! ")
        .is_some_and(|text| text.starts_with(|it: char| it.is_uppercase() || it == '`'));
    let is_exempt = file.path.ends_with("/tests.rs");
    if is_good || is_exempt {
        Vec::new()
    } else {
        vec![format!("opens with {line:?}")]
    }
}

#[test]
fn every_file_says_what_it_holds() {
    let sources = files(&CODE, ".rs");
    check(&sources, opening);
    check(&files(&["tests/it"], ".rs"), opening);
    let finds = |path, text, expected: &[&str]| finds(path, text, opening, expected);
    finds(
        "a/src/b.rs",
        "use std::fs;",
        &["opens with \"use std::fs;\""],
    );
    finds("a/src/b.rs", "", &["opens with \"\""]);
    finds("a/src/b.rs", "//! things", &["opens with \"//! things\""]);
    finds("a/src/b.rs", "//! `a`: things.", &[]);
    finds("a/src/tests.rs", "use std::fs;", &[]);
}

#[test]
fn a_text_is_taken_apart_as_the_compiler_does() {
    let check = |text: &str, code: &str, literals: &[&str]| {
        let taken = take_apart(text);
        assert_eq!(taken.code, code, "{text}");
        assert_eq!(taken.literals, literals, "{text}");
    };
    check("a // b\nc", "a \nc", &[]);
    check("a /* b \" */ c", "a  c", &[]);
    check("f(\"a // b\")", "f(\"\")", &["a // b"]);
    check(r#"f("a \" b", 'c')"#, "f(\"\", ' ')", &[r#"a \" b"#]);
    check(r##"f(r#"a " b"#)"##, "f(\"\")", &["a \" b"]);
    check(r#"f(r"a\")"#, "f(\"\")", &[r"a\"]);
    check(r"'\'' 'a' &'a str", "' ' ' ' &'a str", &[]);
    check("'\\u{1f600}' \"é\"", "' ' \"\"", &["é"]);
    check("for_r\"a\"", "for_r\"\"", &["a"]);
}
