//! AWS services, by the AWS SDK over the task's ENI.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use aws_credential_types::Credentials;
use aws_sdk_cloudwatchlogs::types::InputLogEvent;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use enid_api::dial::{Connector, Dialer};
use enid_model::TrafficClass;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

const REGION: &str = "us-east-1";
/// The most log events that are sent together.
const TOGETHER: usize = 100;

/// What the SDK sends requests by: hyper's client with enid's connector.
#[derive(Debug, Clone)]
struct Dialing(Client<Connector, SdkBody>);

impl Dialing {
    fn client(dialer: &Dialer, class: TrafficClass) -> SharedHttpClient {
        let connector = Connector::new(dialer.clone().class(class));
        let dialing = Self(Client::builder(TokioExecutor::new()).build(connector));
        http_client_fn(move |_, _| SharedHttpConnector::new(dialing.clone()))
    }
}

impl HttpConnector for Dialing {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let response = client.request(request).await.map_err(|error| ConnectorError::io(error.into()))?;
            HttpResponse::try_from(response.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// The services that a task needs. Each is reached in the traffic class of what it is for.
pub(crate) struct Aws {
    ecr: aws_sdk_ecr::Client,
    secrets: aws_sdk_secretsmanager::Client,
    logs: aws_sdk_cloudwatchlogs::Client,
}

/// A service's configuration; each SDK crate has a type of its own for it.
macro_rules! config {
    ($sdk:ident, $endpoint:expr, $http:expr) => {
        $sdk::Config::builder()
            .behavior_version($sdk::config::BehaviorVersion::latest())
            .region($sdk::config::Region::new(REGION))
            // Of the execution role: a host manager gets them from its control plane.
            .credentials_provider(Credentials::new("example", "example", None, None, "example"))
            .endpoint_url($endpoint)
            .http_client($http)
            .build()
    };
}

impl Aws {
    pub(crate) fn new(endpoint: &str, dialer: &Dialer) -> Self {
        let http = |class| Dialing::client(dialer, class);
        Self {
            ecr: aws_sdk_ecr::Client::from_conf(config!(aws_sdk_ecr, endpoint, http(TrafficClass::EcrLogin))),
            secrets: aws_sdk_secretsmanager::Client::from_conf(config!(
                aws_sdk_secretsmanager,
                endpoint,
                http(TrafficClass::Secrets)
            )),
            logs: aws_sdk_cloudwatchlogs::Client::from_conf(config!(
                aws_sdk_cloudwatchlogs,
                endpoint,
                http(TrafficClass::Logs)
            )),
        }
    }

    /// What a registry takes as basic authentication (RFC 7617): user and password in Base64.
    pub(crate) async fn registry_login(&self) -> anyhow::Result<String> {
        let answer = self.ecr.get_authorization_token().send().await?;
        let first = answer.authorization_data().first().context("no authorization came")?;
        Ok(first.authorization_token().context("no token came")?.to_owned())
    }

    /// A secret's text.
    pub(crate) async fn secret(&self, name: &str) -> anyhow::Result<String> {
        let answer = self.secrets.get_secret_value().secret_id(name).send().await?;
        Ok(answer.secret_string().context("the secret is no text")?.to_owned())
    }

    /// A new log stream of a group that is there.
    pub(crate) async fn log_stream(&self, group: &str, stream: &str) -> anyhow::Result<LogStream> {
        let create = self.logs.create_log_stream().log_group_name(group).log_stream_name(stream);
        create.send().await.context("create the log stream")?;
        let (group, stream) = (group.to_owned(), stream.to_owned());
        Ok(LogStream { logs: self.logs.clone(), group, stream, waiting: Vec::new(), shipped: 0 })
    }
}

/// Ships lines as log events.
pub(crate) struct LogStream {
    logs: aws_sdk_cloudwatchlogs::Client,
    group: String,
    stream: String,
    waiting: Vec<InputLogEvent>,
    shipped: usize,
}

impl LogStream {
    pub(crate) async fn push(&mut self, line: String) -> anyhow::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let event =
            InputLogEvent::builder().timestamp(i64::try_from(now.as_millis())?).message(line).build()?;
        self.waiting.push(event);
        if self.waiting.len() >= TOGETHER { self.ship().await } else { Ok(()) }
    }

    /// Ships the rest, and says how many events there were.
    pub(crate) async fn finish(mut self) -> anyhow::Result<usize> {
        self.ship().await?;
        Ok(self.shipped)
    }

    async fn ship(&mut self) -> anyhow::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let events = std::mem::take(&mut self.waiting);
        self.shipped += events.len();
        let put = self.logs.put_log_events().log_group_name(&self.group).log_stream_name(&self.stream);
        put.set_log_events(Some(events)).send().await.context("put log events")?;
        Ok(())
    }
}
