//! `template.yaml` as the local cloud gets it: the same template with its local paths replaced by places in S3, as
//! `sam package` does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};
use yaml_serde::Value as Yaml;

/// An object in the deployment bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub bucket: String,
    pub key: String,
}

#[derive(Clone, Debug)]
pub struct Template {
    body: Value,
}

impl Template {
    /// # Errors
    /// When it is missing or is no YAML.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} cannot be used", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        Ok(Self { body: json_of(yaml_serde::from_str(text)?)? })
    }

    /// The binaries that the functions run, each once.
    pub fn binaries(&self) -> BTreeSet<String> {
        self.of_type("AWS::Serverless::Function")
            .filter_map(|(_, function)| binary(function))
            .map(str::to_owned)
            .collect()
    }

    /// The state machines' definitions: local paths.
    pub fn definitions(&self) -> BTreeSet<String> {
        let machines = self.of_type("AWS::Serverless::StateMachine");
        machines
            .filter_map(|(_, machine)| machine["Properties"]["DefinitionUri"].as_str())
            .map(str::to_owned)
            .collect()
    }

    /// Topics and the binaries that they feed, by the event source mappings.
    pub fn topics(&self) -> BTreeSet<(&str, &str)> {
        let mappings = self.of_type("AWS::Lambda::EventSourceMapping");
        let fed = mappings.flat_map(|(_, mapping)| {
            let properties = &mapping["Properties"];
            let function = properties["FunctionName"]["Ref"].as_str().unwrap_or_default();
            let binary = binary(&self.body["Resources"][function]);
            let topics = properties["Topics"].as_array().into_iter().flatten();
            topics.filter_map(move |topic| Some((topic.as_str()?, binary?)))
        });
        fed.collect()
    }

    pub fn parameters(&self) -> BTreeSet<&str> {
        self.body["Parameters"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// The template as JSON, with the code and the definitions taken from `objects`, by binary name and by path.
    ///
    /// # Errors
    /// When an object is missing.
    pub fn packaged(mut self, objects: &BTreeMap<String, Object>) -> Result<String> {
        let resources = self.body["Resources"].as_object_mut().into_iter().flatten();
        for (name, resource) in resources {
            let (from, property) = match resource["Type"].as_str() {
                Some("AWS::Serverless::Function") => (binary(resource), "CodeUri"),
                Some("AWS::Serverless::StateMachine") => {
                    (resource["Properties"]["DefinitionUri"].as_str(), "DefinitionUri")
                }
                _ => continue,
            };
            let Some(from) = from else { continue };
            let Some(object) = objects.get(from) else {
                bail!("{name}: nothing was packaged for {from}");
            };
            resource["Properties"][property] = json!({"Bucket": object.bucket, "Key": object.key});
        }
        Ok(self.body.to_string())
    }

    fn of_type(&self, kind: &'static str) -> impl Iterator<Item = (&String, &Value)> {
        let resources = self.body["Resources"].as_object().into_iter().flatten();
        resources.filter(move |(_, resource)| resource["Type"] == kind)
    }
}

fn binary(function: &Value) -> Option<&str> {
    function["Metadata"]["BuildProperties"]["Binary"].as_str()
}

/// JSON with CloudFormation's short tags (`!Sub`) spelled out (`Fn::Sub`).
fn json_of(yaml: Yaml) -> Result<Value> {
    Ok(match yaml {
        Yaml::Null => Value::Null,
        Yaml::Bool(value) => value.into(),
        Yaml::Number(value) => serde_json::to_value(value)?,
        Yaml::String(value) => value.into(),
        Yaml::Sequence(values) => {
            values.into_iter().map(json_of).collect::<Result<Vec<_>>>()?.into()
        }
        Yaml::Mapping(entries) => {
            let mut object = Map::new();
            for (key, value) in entries {
                let key = match key {
                    Yaml::String(key) => key,
                    Yaml::Number(key) => key.to_string(), // an HTTP status
                    other => bail!("a key must be text: {other:?}"),
                };
                object.insert(key, json_of(value)?);
            }
            object.into()
        }
        Yaml::Tagged(tagged) => {
            let tag = tagged.tag.to_string();
            let name = tag.trim_start_matches('!');
            match (name, json_of(tagged.value)?) {
                ("Ref" | "Condition", value) => json!({ name: value }),
                ("GetAtt", Value::String(path)) => {
                    let (resource, attribute) =
                        path.split_once('.').context("!GetAtt needs Resource.Attribute")?;
                    json!({"Fn::GetAtt": [resource, attribute]})
                }
                (name, value) => json!({ format!("Fn::{name}"): value }),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = "
AWSTemplateFormatVersion: 2010-09-09
Transform: AWS::Serverless-2016-10-31
Parameters:
  LogLevel: {Type: String}
Resources:
  CreateOrder:
    Type: AWS::Serverless::Function
    Metadata: {BuildMethod: rust-cargolambda, BuildProperties: {Binary: create-order}}
    Properties:
      CodeUri: ./
      FunctionName: !Sub ${AWS::StackName}-create-order
      Role: !GetAtt Role.Arn
  Saga:
    Type: AWS::Serverless::StateMachine
    Properties:
      DefinitionUri: infra/saga.asl.json
      Role: !If [OnAws, !Ref Role, !Ref AWS::NoValue]
  Mapping:
    Type: AWS::Lambda::EventSourceMapping
    Properties: {FunctionName: !Ref CreateOrder, Topics: [order.wanted]}
  Api:
    Type: AWS::Serverless::Api
    Properties:
      GatewayResponses: {400: {Condition: !Condition OnAws}}
";

    fn object(key: &str) -> Object {
        Object { bucket: "code".to_owned(), key: key.to_owned() }
    }

    #[test]
    fn a_template_names_what_must_be_built_and_given() {
        let template = Template::parse(TEMPLATE).unwrap();
        assert_eq!(template.binaries(), BTreeSet::from(["create-order".to_owned()]));
        assert_eq!(template.definitions(), BTreeSet::from(["infra/saga.asl.json".to_owned()]));
        assert_eq!(template.parameters(), BTreeSet::from(["LogLevel"]));
        assert_eq!(template.topics(), BTreeSet::from([("order.wanted", "create-order")]));
    }

    #[test]
    fn only_local_paths_change_when_it_is_packaged() {
        let objects = BTreeMap::from([
            ("create-order".to_owned(), object("create-order.zip")),
            ("infra/saga.asl.json".to_owned(), object("saga.json")),
        ]);
        let packaged: Value =
            serde_json::from_str(&Template::parse(TEMPLATE).unwrap().packaged(&objects).unwrap())
                .unwrap();
        let mut expected = Template::parse(TEMPLATE).unwrap().body;
        expected["Resources"]["CreateOrder"]["Properties"]["CodeUri"] =
            json!({"Bucket": "code", "Key": "create-order.zip"});
        expected["Resources"]["Saga"]["Properties"]["DefinitionUri"] =
            json!({"Bucket": "code", "Key": "saga.json"});
        assert_eq!(packaged, expected);
    }

    #[test]
    fn short_tags_are_spelled_out() {
        let body = Template::parse(TEMPLATE).unwrap().body;
        let function = &body["Resources"]["CreateOrder"]["Properties"];
        assert_eq!(function["FunctionName"], json!({"Fn::Sub": "${AWS::StackName}-create-order"}));
        assert_eq!(function["Role"], json!({"Fn::GetAtt": ["Role", "Arn"]}));
        assert_eq!(
            body["Resources"]["Saga"]["Properties"]["Role"],
            json!({"Fn::If": ["OnAws", {"Ref": "Role"}, {"Ref": "AWS::NoValue"}]})
        );
        assert_eq!(
            body["Resources"]["Api"]["Properties"]["GatewayResponses"]["400"]["Condition"],
            json!({"Condition": "OnAws"})
        );
        assert_eq!(body["AWSTemplateFormatVersion"], "2010-09-09");
    }

    #[test]
    fn a_function_without_code_is_named() {
        let error =
            Template::parse(TEMPLATE).unwrap().packaged(&BTreeMap::new()).unwrap_err().to_string();
        assert_eq!(error, "CreateOrder: nothing was packaged for create-order");
    }
}
