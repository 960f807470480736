//! Facts that several places must state alike: crates, template and state machine. Needs no cloud.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, TargetKind};
use trackops_testkit::{Document, workspace_root};
use yaml_serde::Value;

#[path = "common/template.rs"]
mod template;

use template::{functions, mapping, referenced, resources, template};

/// The function that answers all requests that no endpoint of an API takes.
const FALLBACK: &str = "edge-fallback";

/// The API that only the provider calls, with a signature: no client of ours and no browser calls it.
const WITHOUT_KEYS: &str = "PaymentsApi";

#[test]
fn every_binary_is_deployed_and_every_deployed_function_has_a_binary() {
    let metadata = metadata();
    let built: BTreeSet<&str> = metadata
        .workspace_packages()
        .into_iter()
        .filter(|package| layer(package) == "functions")
        .flat_map(|package| &package.targets)
        .filter(|target| target.kind.contains(&TargetKind::Bin))
        .map(|target| target.name.as_str())
        .collect();
    let template = template();
    let deployed: Vec<&str> = functions(&template).map(|(_, function)| binary(function)).collect();
    assert_eq!(built, deployed.iter().copied().collect());

    for binary in built {
        let times = deployed.iter().filter(|deployed| **deployed == binary).count();
        let expected = match binary {
            "relay-events" => 3,
            FALLBACK => 4,
            _ => 1,
        };
        assert_eq!(times, expected, "deployments of {binary}");
    }
}

#[test]
fn the_saga_calls_exactly_the_functions_that_nothing_else_calls() {
    let template = template();
    let machine = resources(&template)
        .find(|(_, resource)| resource["Type"] == "AWS::Serverless::StateMachine")
        .map(|(_, machine)| &machine["Properties"])
        .expect("the template has a state machine");
    let path = machine["DefinitionUri"].as_str().expect("the state machine has a file of its own");
    let asl = fs::read_to_string(workspace_root().join(path)).expect("that file is there");

    let mut given: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, value) in mapping(&machine["DefinitionSubstitutions"]) {
        let function =
            referenced(value).unwrap_or_else(|| panic!("{name} stands for no function: {value:?}"));
        given.insert(name, function);
    }
    let used: BTreeSet<&str> = asl
        .split("${")
        .skip(1)
        .filter_map(|rest| rest.split_once('}'))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(
        given.keys().copied().collect::<BTreeSet<_>>(),
        used,
        "substitutions given and used"
    );

    let tasks: BTreeSet<&str> = given.into_values().collect();
    let fed: BTreeSet<&str> = event_source_mappings(&template)
        .filter_map(|mapping| referenced(&mapping["FunctionName"]))
        .collect();
    let without_a_trigger: BTreeSet<&str> = functions(&template)
        .filter(|(name, function)| {
            function["Properties"]["Events"].is_null() && !fed.contains(name)
        })
        .map(|(name, _)| name)
        .collect();
    assert_eq!(tasks, without_a_trigger);
}

#[test]
fn a_consumer_takes_the_same_events_from_either_bus() {
    let template = template();
    let resource = |name: &str| &template["Resources"][name];
    let mut consumers = BTreeMap::new();
    let mut on_kafka = BTreeSet::new();
    for fed in event_source_mappings(&template) {
        let function = referenced(&fed["FunctionName"]).expect("a mapping feeds a function");
        let consumer = binary(resource(function));
        consumers.extend(referenced(&fed["EventSourceArn"]).map(|source| (source, consumer)));
        for topic in fed["Topics"].as_sequence().into_iter().flatten() {
            let pattern = match fed["FilterCriteria"]["Filters"].as_sequence().map(Vec::as_slice) {
                None => serde_json::Value::Null,
                Some([filter]) => {
                    let pattern = filter["Pattern"].as_str().expect("a filter has a pattern");
                    serde_json::from_str(pattern).expect("a pattern is JSON")
                }
                Some(filters) => panic!("{consumer} {topic:?}: {filters:?}"),
            };
            let data = pattern["value"]["data"].to_string();
            on_kafka.insert((consumer, topic.as_str().expect("a topic has a name"), data));
        }
    }
    let mut on_eventbridge = BTreeSet::new();
    for (name, rule) in resources(&template).filter(|(_, it)| it["Type"] == "AWS::Events::Rule") {
        let pattern = &rule["Properties"]["EventPattern"];
        let data = serde_json::to_value(&pattern["detail"]["data"]).expect("a pattern is JSON");
        for target in rule["Properties"]["Targets"].as_sequence().into_iter().flatten() {
            let queue = referenced(&target["Arn"]).and_then(|queue| consumers.get(queue));
            let consumer = queue.unwrap_or_else(|| panic!("nobody consumes what {name} sends"));
            for kind in pattern["detail-type"].as_sequence().into_iter().flatten() {
                let kind = kind.as_str().expect("a type has a name");
                on_eventbridge.insert((*consumer, kind, data.to_string()));
            }
        }
    }
    assert!(!on_kafka.is_empty());
    assert_eq!(on_eventbridge, on_kafka);
}

#[test]
fn the_dead_letters_of_every_consumer_can_be_listed_and_sent_again() {
    let template = template();
    let resource = |name: &str| &template["Resources"][name];
    let mut consumers = BTreeSet::new();
    let mut expected = BTreeSet::new();
    for fed in event_source_mappings(&template) {
        let Some(queue) = referenced(&fed["EventSourceArn"]) else { continue };
        let letters = &resource(queue)["Properties"]["RedrivePolicy"]["deadLetterTargetArn"];
        let Some(letters) = referenced(letters) else { continue };
        let function = referenced(&fed["FunctionName"]).expect("a mapping feeds a function");
        let consumer = binary(resource(function));
        consumers.insert(consumer);
        expected.insert(format!("{consumer} ${{{letters}}} ${{{queue}}}"));
    }
    for name in ["ListDeadLettersFunction", "RedriveDeadLettersFunction"] {
        let variables = &resource(name)["Properties"]["Environment"]["Variables"];
        let Value::Tagged(join) = &variables["DEAD_LETTERS"] else { panic!("{name}: no list") };
        let listed = join.value[1].as_sequence().into_iter().flatten();
        let listed = listed.map(|entry| match entry {
            Value::Tagged(sub) => sub.value.as_str().expect("an entry is text").to_owned(),
            other => panic!("{name}: {other:?}"),
        });
        assert_eq!(listed.collect::<BTreeSet<_>>(), expected, "DEAD_LETTERS of {name}");
    }
    let relay = Document::all().iter().find(|document| document.service == "relay");
    let queues = &relay.expect("the relay has a document").json["components"]["schemas"]["Queue"];
    let documented = queues["enum"].as_array().into_iter().flatten();
    let documented: BTreeSet<&str> = documented.filter_map(|queue| queue.as_str()).collect();
    assert_eq!(documented, consumers, "Queue of infra/openapi/relay.yaml");
}

#[test]
fn the_documents_have_exactly_the_endpoints_that_are_deployed() {
    let template = template();
    let mut deployed = BTreeSet::new();
    for (_, function) in functions(&template).filter(|(_, it)| binary(it) != FALLBACK) {
        // HEAD has everything that GET has. The documents leave it out, because they would be twice as long.
        for (api, path, method) in api_events(function).filter(|event| event.2 != "HEAD") {
            let service = api.trim_end_matches("Api").to_lowercase();
            let binary = binary(function).to_owned();
            deployed.insert((service, method.to_owned(), path.to_owned(), binary));
        }
    }
    let mut documented = BTreeSet::new();
    for operation in Document::all().iter().flat_map(Document::operations) {
        let (service, id) = (operation.document.service, operation.id());
        // One function serves all of a document.
        let served_by_docs = id == "docs" || id.starts_with("docs-");
        let binary = if served_by_docs { format!("{service}-docs") } else { id.to_owned() };
        let (method, path) = (operation.method.to_string(), operation.path.to_owned());
        documented.insert((service.to_owned(), method, path, binary));
    }
    let (documented_alone, deployed_alone): (Vec<_>, Vec<_>) =
        (documented.difference(&deployed).collect(), deployed.difference(&documented).collect());
    assert_eq!(
        (documented_alone, deployed_alone),
        (Vec::new(), Vec::new()),
        "(documented, deployed) alone"
    );
}

#[test]
fn what_a_document_shows_of_an_answer_fits_its_schema() {
    let mut shown = 0;
    for document in Document::all() {
        for operation in document.operations() {
            for (status, response) in document.parts(operation.json, "responses") {
                let headers = document
                    .parts(response, "headers")
                    .map(|(name, header)| (name, &header["schema"], &header["example"]));
                let contents = document.parts(response, "content");
                let bodies = contents.flat_map(|(_, content)| {
                    let examples = document.parts(content, "examples");
                    examples.map(|(name, example)| (name, &content["schema"], &example["value"]))
                });
                for (name, schema, value) in headers.chain(bodies) {
                    let fits = document.validate(schema, value);
                    assert_eq!(fits, Ok(()), "{} {status} {name}", operation.id());
                    shown += 1;
                }
            }
        }
    }
    assert!(shown > 300, "only {shown} examples were found");
}

#[test]
fn every_step_of_the_saga_tells_what_it_did_also_when_it_failed() {
    let asl = fs::read_to_string(workspace_root().join("infra/saga.asl.json"));
    let asl: Value = yaml_serde::from_str(&asl.expect("the saga is there")).expect("it is JSON");
    let noted = |output: &Value, outcome: &str| {
        let step = format!("$merge([$states.context.State, {{'Outcome': {outcome}}}])");
        let output = output.as_str().unwrap_or_default();
        output.contains(&format!("'steps': [$states.input.steps, {step}]"))
    };
    for (name, state) in mapping(&asl["States"]).filter(|(_, state)| state["Type"] == "Task") {
        // A step back may have had nothing to undo, and says so.
        let own = "$exists($states.result.outcome) ? $states.result.outcome : 'Succeeded'";
        let is_back = ["RefundPayment", "ReleaseInventory"].contains(&name);
        let succeeded = if is_back { own } else { "'Succeeded'" };
        assert!(noted(&state["Output"], succeeded), "{name}");
        // A run that is left to the recovery changes nothing, so nobody could store it.
        let caught = state["Catch"].as_sequence().into_iter().flatten();
        for catch in caught.filter(|catch| catch["Next"] != "LeaveToRecovery") {
            assert!(noted(&catch["Output"], "$states.errorOutput.Error"), "{name}: {catch:?}");
        }
    }
}

#[test]
fn nothing_is_undone_before_the_order_is_locked_and_an_order_ends_only_when_all_is_undone() {
    let asl = fs::read_to_string(workspace_root().join("infra/saga.asl.json"));
    let asl: Value = yaml_serde::from_str(&asl.expect("the saga is there")).expect("it is JSON");
    let states: Vec<_> = mapping(&asl["States"]).collect();
    let leads_to = |state: &Value, to: &str| {
        let branches = [&state["Catch"], &state["Choices"]].map(Value::as_sequence);
        let branches = branches.into_iter().flatten().flatten().map(|branch| &branch["Next"]);
        branches.chain([&state["Next"], &state["Default"]]).any(|next| *next == to)
    };
    let before = |to: &str| -> Vec<&str> {
        states.iter().filter(|(_, state)| leads_to(state, to)).map(|(name, _)| *name).collect()
    };
    // A run back is of an order that is locked already; the other asks what the lock has found.
    assert_eq!(before("RefundPayment"), ["Direction", "GivenUp"]);
    assert_eq!(before("GivenUp"), ["AbandonOrder"]);
    assert_eq!(before("ReleaseInventory"), ["RefundPayment"]);
    assert_eq!(before("CloseOrder"), ["ReleaseInventory"]);
    let (_, lock) = states.iter().find(|(name, _)| *name == "AbandonOrder").expect("a lock");
    assert!(lock["Catch"].is_null(), "a lock that failed goes on: {:?}", lock["Catch"]);
    let (_, given_up) = states.iter().find(|(name, _)| *name == "GivenUp").expect("a choice");
    assert_eq!(given_up["Default"], "Done", "an order that was confirmed is undone");
}

#[test]
fn on_every_path_the_fallback_takes_what_no_endpoint_does_and_knows_what_they_take() {
    let template = template();
    let mut endpoints: BTreeMap<&str, BTreeMap<&str, BTreeSet<&str>>> = BTreeMap::new();
    for (_, function) in functions(&template).filter(|(_, it)| binary(it) != FALLBACK) {
        for (api, path, method) in api_events(function) {
            assert!(!["ANY", "OPTIONS"].contains(&method), "{method} {path} is for the fallback");
            endpoints.entry(api).or_default().entry(path).or_default().insert(method);
        }
    }
    let mut fallbacks = BTreeMap::new();
    for (name, function) in functions(&template).filter(|(_, it)| binary(it) == FALLBACK) {
        let events: Vec<_> = api_events(function).collect();
        let api = events.first().expect("a fallback has events").0;
        assert!(events.iter().all(|event| event.0 == api), "{name} is of one API");
        let paths = &endpoints[api];
        let taken: BTreeSet<_> = events.iter().map(|(_, path, method)| (*path, *method)).collect();
        let both = paths.keys().flat_map(|path| [(*path, "ANY"), (*path, "OPTIONS")]);
        let expected = both.chain([("/", "ANY"), ("/{proxy+}", "ANY")]).collect();
        assert_eq!(taken, expected, "Events of {name}");

        let told = &function["Properties"]["Environment"]["Variables"]["ENDPOINTS"];
        let line = |(path, methods): (&&str, &BTreeSet<&str>)| {
            methods.iter().fold((*path).to_owned(), |line, method| format!("{line} {method}"))
        };
        let expected: Vec<String> = paths.iter().map(line).collect();
        assert_eq!(told.as_str(), Some(expected.join(", ").as_str()), "ENDPOINTS of {name}");
        fallbacks.insert(api, name);
    }
    let with_a_fallback: BTreeSet<&str> = fallbacks.into_keys().collect();
    assert_eq!(with_a_fallback, apis(&template).map(|(name, _)| name).collect());
}

#[test]
fn every_api_has_limits_and_those_of_a_method_are_of_one_that_there_is() {
    let template = template();
    let shared = &template["Globals"]["Api"]["MethodSettings"];
    let stage = shared.as_sequence().and_then(|all| all.first()).expect("limits of every API");
    assert_eq!((&stage["ResourcePath"], &stage["HttpMethod"]), (&"/*".into(), &"*".into()));
    assert_eq!(referenced(&stage["ThrottlingRateLimit"]), Some("ApiRequestsPerSecond"));
    assert_eq!(referenced(&stage["ThrottlingBurstLimit"]), Some("ApiBurst"));

    let events: BTreeSet<_> = functions(&template).flat_map(|(_, it)| api_events(it)).collect();
    for (api, properties) in apis(&template) {
        for setting in properties["MethodSettings"].as_sequence().into_iter().flatten() {
            let path = setting["ResourcePath"].as_str().expect("a path");
            // As CloudFormation wants it: JSON Pointer's `~1` for each slash but the first.
            let path = path.strip_prefix("/~1").filter(|rest| !rest.contains('/'));
            let path = path.unwrap_or_else(|| panic!("{api}: {setting:?} is not encoded"));
            let path = format!("/{}", path.replace("~1", "/"));
            let method = setting["HttpMethod"].as_str().expect("a method");
            assert!(events.contains(&(api, path.as_str(), method)), "{api} has no {method} {path}");
            let limit = |name: &str| number(&template, &setting[name]);
            let (rate, burst) = (limit("ThrottlingRateLimit"), limit("ThrottlingBurstLimit"));
            assert!(0 < rate && rate <= burst, "{api} {method} {path}: {rate} a second, {burst}");
        }
    }
}

#[test]
fn where_there_is_get_there_is_head_by_the_same_function_and_with_the_same_limit() {
    let template = template();
    let taken = |method: &str| -> BTreeSet<_> {
        let of = |(name, function)| api_events(function).map(move |event| (name, event));
        let events = functions(&template).filter(|(_, it)| binary(it) != FALLBACK).flat_map(of);
        let events = events.filter(|(_, event)| event.2 == method);
        events.map(|(name, (api, path, _))| (name, api, path)).collect()
    };
    assert!(!taken("GET").is_empty());
    assert_eq!(taken("HEAD"), taken("GET"));
    for (api, properties) in apis(&template) {
        let limits = |method: &str| -> BTreeSet<_> {
            let settings = properties["MethodSettings"].as_sequence().into_iter().flatten();
            let limit = |it: &Value, name: &str| number(&template, &it[name]);
            let settings = settings.filter(|it| it["HttpMethod"] == method).map(|it| {
                let limits = (limit(it, "ThrottlingRateLimit"), limit(it, "ThrottlingBurstLimit"));
                (it["ResourcePath"].as_str(), limits)
            });
            settings.collect()
        };
        assert_eq!(limits("HEAD"), limits("GET"), "{api}");
    }
}

/// Source of the numbers: AWS Lambda's quotas. An account has 1,000 at once. 100 must stay unreserved, and the
/// endpoints, which have no reserved concurrency, need more than that.
#[test]
fn what_keeps_the_promises_has_concurrency_of_its_own_and_what_anyone_may_call_a_maximum() {
    const ACCOUNT: u64 = 1000;
    const FOR_ENDPOINTS: u64 = 500;
    /// The time of a step, with its waiting; some ten times what a step takes alone.
    const SECONDS_OF_A_STEP: f64 = 0.25;

    let template = template();
    let steps: BTreeSet<&str> = resources(&template)
        .filter(|(_, it)| it["Type"] == "AWS::Serverless::StateMachine")
        .flat_map(|(_, it)| mapping(&it["Properties"]["DefinitionSubstitutions"]))
        .filter_map(|(_, function)| referenced(function))
        .collect();
    let consumers: BTreeSet<&str> =
        event_source_mappings(&template).filter_map(|it| referenced(&it["FunctionName"])).collect();
    let mut sum = 0;
    for (name, function) in functions(&template) {
        let scheduled = |(_, event): (&str, &Value)| event["Type"] == "Schedule";
        let is_scheduled = mapping(&function["Properties"]["Events"]).any(scheduled);
        let public = [FALLBACK, "docs", "health"];
        let is_public = public.iter().any(|kind| binary(function).ends_with(kind));
        let promised = is_scheduled || steps.contains(name) || consumers.contains(name);
        let is_webhook = binary(function) == "receive-webhook";
        let reserved = reserved(&template, function);
        let expected = promised || is_public || is_webhook;
        assert_eq!(reserved.is_some(), expected, "{name} has {reserved:?}");
        if is_scheduled {
            // An operator shares the sweeper's shards among so many runs.
            let runs = if binary(function) == "sweep-outbox" { 4 } else { 1 };
            assert_eq!(reserved, Some(runs), "{name} must not overlap itself");
        }
        if steps.contains(name) {
            let orders = number(&template, &template["Parameters"]["OrdersPerSecond"]["Default"]);
            let at_once = orders as f64 * SECONDS_OF_A_STEP;
            assert!(reserved.unwrap_or_default() as f64 >= at_once, "{name}: {at_once} at once");
        }
        sum += reserved.unwrap_or_default();
    }
    assert!(sum + FOR_ENDPOINTS <= ACCOUNT, "{sum} are reserved");

    for properties in event_source_mappings(&template) {
        let most = &properties["ScalingConfig"]["MaximumConcurrency"];
        let function = referenced(&properties["FunctionName"]).expect("a function");
        if !most.is_null() {
            let reserved = reserved(&template, &template["Resources"][function]);
            // More would be delivered and throttled, and received in vain.
            assert_eq!(reserved, Some(number(&template, most)), "{function}");
        }
    }
}

/// The number in `ReservedConcurrentExecutions: !If [ReserveConcurrency, <number>, ...]`.
fn reserved(template: &Value, function: &Value) -> Option<u64> {
    let Value::Tagged(choice) = &function["Properties"]["ReservedConcurrentExecutions"] else {
        return None;
    };
    assert_eq!(choice.value[0], "ReserveConcurrency", "only a condition takes it away");
    Some(number(template, &choice.value[1]))
}

/// A number, or the default of the parameter that it refers to.
fn number(template: &Value, value: &Value) -> u64 {
    let value = match referenced(value) {
        Some(parameter) => &template["Parameters"][parameter]["Default"],
        None => value,
    };
    value.as_u64().unwrap_or_else(|| panic!("{value:?} is no number"))
}

#[test]
fn who_verifies_tokens_is_told_all_that_a_token_must_say() {
    const ALL: [&str; 5] =
        ["JWKS_URI", "JWT_AUDIENCE", "JWT_ISSUER", "JWT_KEYS", "JWT_MAX_LIFETIME_SECONDS"];
    let template = template();
    let mut verifying = 0;
    for (name, function) in functions(&template) {
        let variables = mapping(&function["Properties"]["Environment"]["Variables"]);
        let told: BTreeSet<&str> =
            variables.map(|(name, _)| name).filter(|name| name.starts_with("JW")).collect();
        assert!(told.is_empty() || told == BTreeSet::from(ALL), "{name} knows {told:?}");
        verifying += usize::from(!told.is_empty());
    }
    assert!(verifying > 0);
}

#[test]
fn every_api_that_clients_use_counts_them_by_their_keys() {
    let template = template();
    let plan = resources(&template)
        .find(|(_, resource)| resource["Type"] == "AWS::ApiGateway::UsagePlan")
        .map(|(_, plan)| &plan["Properties"])
        .expect("the template has a usage plan");
    let counted: BTreeSet<&str> = plan["ApiStages"]
        .as_sequence()
        .into_iter()
        .flatten()
        .filter_map(|stage| referenced(&stage["ApiId"]))
        .collect();
    let required: BTreeSet<&str> = apis(&template)
        .filter(|(_, api)| referenced(&api["Auth"]["ApiKeyRequired"]) == Some("ApiKeyRequired"))
        .map(|(name, _)| name)
        .collect();
    let expected: BTreeSet<&str> =
        apis(&template).map(|(name, _)| name).filter(|name| *name != WITHOUT_KEYS).collect();
    assert_eq!(counted, expected, "APIs of the usage plan");
    assert_eq!(required, expected, "APIs that may require a key");
    let limit = |group: &str, name: &str| referenced(&plan[group][name]);
    assert_eq!(limit("Throttle", "RateLimit"), Some("ClientRequestsPerSecond"));
    assert_eq!(limit("Throttle", "BurstLimit"), Some("ClientBurst"));
    assert_eq!(limit("Quota", "Limit"), Some("ClientRequestsPerDay"));
}

#[test]
fn what_the_gateway_answers_by_itself_is_a_problem_that_the_documentation_has() {
    let template = template();
    let responses = &template["Globals"]["Api"]["GatewayResponses"];
    let types: BTreeSet<&str> = mapping(responses).map(|(name, _)| name).collect();
    for needed in ["DEFAULT_4XX", "DEFAULT_5XX", "THROTTLED", "QUOTA_EXCEEDED", "REQUEST_TOO_LARGE"]
    {
        assert!(types.contains(needed), "{needed} is as AWS has it");
    }
    let documented = fs::read_to_string(workspace_root().join("docs/api.md")).expect("api.md");
    for (name, response) in mapping(responses) {
        let body = response["ResponseTemplates"]["application/json"].as_str().expect("a body");
        let body: serde_json::Value = serde_json::from_str(body).expect("a body is JSON");
        let fields: BTreeSet<&str> =
            body.as_object().into_iter().flatten().map(|(field, _)| field.as_str()).collect();
        let status = &response["StatusCode"];
        if status.is_null() {
            assert_eq!(fields, BTreeSet::from(["type", "title"]), "{name}");
        } else {
            assert_eq!(fields, BTreeSet::from(["type", "title", "status"]), "{name}");
            assert_eq!(body["status"].as_u64(), status.as_u64(), "{name}");
        }
        let kind =
            body["type"].as_str().and_then(|kind| kind.strip_prefix("urn:trackops:problem:"));
        let kind = kind.unwrap_or_else(|| panic!("{name} is no problem of ours"));
        assert!(documented.contains(&format!("`{kind}`")), "docs/api.md lacks {kind}");
        // `$context` would tell what API Gateway found, word for word of the request.
        assert!(!body.to_string().contains('$'), "{name} repeats what it was asked");

        let headers = &response["ResponseParameters"]["Headers"];
        assert_eq!(headers["Content-Type"], "'application/problem+json'", "{name}");
        assert_eq!(headers["Cache-Control"], "'no-store'", "{name}");
        assert!(!headers["Access-Control-Allow-Origin"].is_null(), "{name} is hidden from pages");
        let again = headers["Retry-After"].as_str().unwrap_or_default().trim_matches('\'');
        assert_eq!(status == 429, again.parse().is_ok_and(|after: u32| after > 0), "{name}");
    }
    for (name, api) in apis(&template) {
        assert!(api["GatewayResponses"].is_null(), "{name} answers otherwise than the others");
    }
}

#[test]
fn no_page_may_call_the_apis_unless_an_origin_is_given() {
    let template = template();
    assert_eq!(template["Parameters"]["CorsOrigin"]["Default"], "");
    let variables = &template["Globals"]["Function"]["Environment"]["Variables"];
    assert_eq!(referenced(&variables["CORS_ORIGIN"]), Some("CorsOrigin"));
}

#[test]
fn the_domain_knows_neither_aws_nor_an_async_runtime() {
    let metadata = metadata();
    let mut reached = BTreeSet::new();
    let mut open = vec!["trackops-domain".to_owned()];
    while let Some(name) = open.pop() {
        let packages = metadata.packages.iter().filter(|package| *package.name == *name);
        for dependency in packages.flat_map(|package| &package.dependencies) {
            let always = dependency.kind == DependencyKind::Normal && !dependency.optional;
            if always && reached.insert(dependency.name.clone()) {
                open.push(dependency.name.clone());
            }
        }
    }
    let forbidden = |name: &&String| {
        ["aws", "lambda", "tokio", "async", "futures", "reqwest", "hyper"]
            .iter()
            .any(|word| name.starts_with(word))
    };
    assert_eq!(reached.iter().filter(forbidden).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn dependencies_point_one_way() {
    let metadata = metadata();
    let allowed = |layer: &str| -> &[&str] {
        match layer {
            "shared/domain" | "shared/http" => &[],
            "shared/aws" => &["shared/domain", "shared/http"],
            "shared/lambda" => &["shared/domain", "shared/aws"],
            "shared/openapi" => &["shared/lambda"],
            "functions" => &["shared/domain", "shared/aws", "shared/lambda", "shared/openapi"],
            // Runners and tests may look at everything but each other's tests.
            "localstack" => &["shared/domain", "shared/aws", "shared/http", "shared/lambda"],
            "shared/testkit" => {
                &["shared/domain", "shared/aws", "shared/http", "shared/openapi", "localstack"]
            }
            "tests" => &["shared/domain", "shared/aws", "shared/testkit", "localstack"],
            other => panic!("say here on what {other} may depend"),
        }
    };
    let packages = metadata.workspace_packages();
    let layers: BTreeMap<&str, String> =
        packages.iter().map(|package| (package.name.as_str(), layer(package))).collect();
    for package in &packages {
        let from = &layers[package.name.as_str()];
        for dependency in package.dependencies.iter().filter(|it| it.kind == DependencyKind::Normal)
        {
            if let Some(to) = layers.get(dependency.name.as_str()) {
                assert!(
                    allowed(from).contains(&to.as_str()),
                    "{} depends on {}",
                    package.name,
                    dependency.name
                );
            }
        }
    }
}

#[test]
fn schemas_are_made_by_tests_alone() {
    let metadata = metadata();
    for package in metadata.workspace_packages() {
        for dependency in &package.dependencies {
            let makes = dependency.features.iter().any(|feature| feature == "schema");
            assert!(!makes || layer(package) == "tests", "{} makes schemas", package.name);
        }
    }
}

#[test]
fn every_folder_says_what_it_is_for() {
    let root = workspace_root();
    let mut silent = Vec::new();
    for parent in ["", "functions", "shared"] {
        for entry in fs::read_dir(root.join(parent)).expect("the folder can be read") {
            let folder = entry.expect("the folder can be read").path();
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if folder.is_dir() && !name.starts_with('.') && name != "target" && !speaks(&folder) {
                silent.push(folder);
            }
        }
    }
    assert_eq!(
        silent,
        Vec::<std::path::PathBuf>::new(),
        "folders without a README.md or a `//!` in src/lib.rs"
    );
}

fn speaks(folder: &Path) -> bool {
    let lib = fs::read_to_string(folder.join("src/lib.rs")).unwrap_or_default();
    folder.join("README.md").exists() || lib.starts_with("//!")
}

fn metadata() -> Metadata {
    let mut command = MetadataCommand::new();
    command.current_dir(workspace_root()).other_options(["--locked".to_owned()]);
    command.exec().expect("cargo metadata")
}

/// The folder that says what a crate may depend on; all services are one layer.
fn layer(package: &Package) -> String {
    let folder = package.manifest_path.parent().expect("a manifest is in a folder");
    let folder =
        folder.as_std_path().strip_prefix(workspace_root()).expect("a crate of this workspace");
    let folder = folder.to_string_lossy();
    if folder.starts_with("functions/") { "functions".to_owned() } else { folder.into_owned() }
}

fn apis(template: &Value) -> impl Iterator<Item = (&str, &Value)> {
    resources(template)
        .filter(|(_, resource)| resource["Type"] == "AWS::Serverless::Api")
        .map(|(name, api)| (name, &api["Properties"]))
}

fn event_source_mappings(template: &Value) -> impl Iterator<Item = &Value> {
    resources(template)
        .filter(|(_, resource)| resource["Type"] == "AWS::Lambda::EventSourceMapping")
        .map(|(_, mapping)| &mapping["Properties"])
}

/// API, path and method of each endpoint that a function serves.
fn api_events(function: &Value) -> impl Iterator<Item = (&str, &str, &str)> {
    let events = mapping(&function["Properties"]["Events"]);
    events.filter(|(_, event)| event["Type"] == "Api").map(|(name, event)| {
        let event = &event["Properties"];
        let text = |field: &str| event[field].as_str().unwrap_or_else(|| panic!("{name}: {field}"));
        let api = referenced(&event["RestApiId"]).unwrap_or_else(|| panic!("{name} is of no API"));
        (api, text("Path"), text("Method"))
    })
}

fn binary(function: &Value) -> &str {
    let binary = &function["Metadata"]["BuildProperties"]["Binary"];
    binary.as_str().unwrap_or_else(|| panic!("{function:?} names no binary"))
}
