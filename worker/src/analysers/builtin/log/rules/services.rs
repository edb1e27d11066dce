//! Other systems that the program works with: brokers, clusters, dependencies.

use super::super::table::Certainty::{Exact, Phrase};
use super::super::table::Rule;
use crate::answers::Severity::{High, Low, Medium};

pub(super) const RULES: &[Rule] = &[
    Rule {
        error_type: "cluster-membership",
        pattern: concat!(
            r"leader election|electing|new leader|lost (leadership|quorum|the leader)|",
            r"no leader|not the leader|split[- ]brain|quorum (lost|is lost|not)|",
            r"node \S+ (left|joined|is down|is dead)|(have|has) (quorum|joined the cluster)|",
            r"suspected|first is 0x"
        ),
        certainty: Phrase,
        severity: Medium,
        ticket: false,
        meaning: "The members of a cluster chose a leader or lost one of them.",
        check: &[
            "Which member left, and why.",
            "Whether it repeats: network between the members, long pauses.",
        ],
    },
    Rule {
        error_type: "cluster-quorum-lost",
        pattern: concat!(
            r"lost quorum|quorum (is )?lost|no quorum|split[- ]brain|NoQuorum|",
            r"NotEnoughReplicas|exception when following the leader|unexpected exception causing shutdown while sock still open"
        ),
        certainty: Exact,
        severity: High,
        ticket: true,
        meaning: "Too few members of a cluster can reach each other.",
        check: &["Which members are down or cut off.", "Network between them."],
    },
    Rule {
        error_type: "lease-lost",
        pattern: concat!(
            r"failed to renew lease|lease (expired|lost|renewal failed)|",
            r"LeaseExpired|lost lease|could not renew (lease|lock)"
        ),
        certainty: Exact,
        severity: Medium,
        ticket: true,
        meaning: "A lease could not be renewed, so somebody else may take over its work.",
        check: &["Whether the service that grants it can be reached.", "Long pauses of the process."],
    },
    Rule {
        error_type: "queue-worker-stopped",
        pattern: concat!(
            r"send worker leaving|interrupted while waiting (for|on)|worker (thread )?(leaving|stopped|exited|terminated)|",
            r"consumer (stopped|cancelled|closed)"
        ),
        certainty: Phrase,
        severity: Low,
        ticket: false,
        meaning: "A worker that served a queue or a connection stopped.",
        check: &["Whether another one took its place.", "The connection it served: it usually closed first."],
    },
    Rule {
        error_type: "message-broker-error",
        pattern: concat!(
            r"kafka\S*(Exception|Error)|broker (is )?(not available|unavailable|down|transport failure)|",
            r"BrokerNotAvailable|NotLeaderFor|AmqpException|AMQPConnection\w*|",
            r"rabbitmq.*(error|fail|refused|alarm)|JMSException|OFFSET_OUT_OF_RANGE|",
            r"rebalanc\w+ fail|PRECONDITION_FAILED|channel (was )?closed.*(reply|code)"
        ),
        certainty: Exact,
        severity: High,
        ticket: true,
        meaning: "The message broker refused or failed.",
        check: &[
            "The broker's own state: alarms, disk, leaders.",
            "Whether messages were lost or only delayed.",
        ],
    },
    Rule {
        error_type: "queue-backlog",
        pattern: concat!(
            r"(queue|buffer|backlog|mailbox) (is |was )?(full|overflow\w*|too long|growing)|",
            r"consumer lag|backpressure|dropp(ed|ing) (messages?|events?)|",
            r"QueueFull"
        ),
        certainty: Phrase,
        severity: Medium,
        ticket: true,
        meaning: "More work comes in than is done.",
        check: &["Speed of the consumers, and errors that slow them.", "What grew at the producer."],
    },
    Rule {
        error_type: "dead-letter",
        pattern: concat!(
            r"dead[- ]?letter|poison (message|pill)|message (was )?(rejected|discarded)|",
            r"max(imum)? (deliver\w+|redeliver\w+)"
        ),
        certainty: Phrase,
        severity: Medium,
        ticket: true,
        meaning: "A message was set aside because nobody could handle it.",
        check: &["The message and the first error about it."],
    },
    Rule {
        error_type: "retries-exhausted",
        pattern: concat!(
            r"(retries|attempts|retry (limit|count|attempts))( \S+)? (exhausted|exceeded|reached|failed)|",
            r"max(imum)?( number of)? (retries|retry|attempts)|gave up|",
            r"giving up|RetryExhausted|exhausted (all )?(retries|attempts)|",
            r"MaxRetry"
        ),
        certainty: Exact,
        severity: High,
        ticket: true,
        meaning: "All attempts failed; the program gave up.",
        check: &["The error of the first attempt.", "What was left undone."],
    },
    Rule {
        error_type: "circuit-open",
        pattern: concat!(
            r"circuit[- ]?breaker|CallNotPermitted|circuit (is )?open|",
            r"fallback (method|triggered)"
        ),
        certainty: Phrase,
        severity: Medium,
        ticket: true,
        meaning: "Calls to a failing service are held back.",
        check: &["The state of that service.", "Which errors opened the breaker."],
    },
    Rule {
        error_type: "dependency-unavailable",
        pattern: concat!(
            r"(service|server|backend|dependency|upstream|cluster|host|node) (\S+ )?(is )?(not available|unavailable|not running|not ready|not responding|down)\b|",
            r"ServiceUnavailable|health[- ]?check (has )?fail\w*|unhealthy|",
            r"liveness probe|readiness probe"
        ),
        certainty: Phrase,
        severity: High,
        ticket: true,
        meaning: "Something that the program depends on is not available.",
        check: &["Its state and its log.", "Whether the program recovers by itself."],
    },
    Rule {
        error_type: "replication-pipeline-error",
        pattern: concat!(
            r"PacketResponder\W.*exception|exception in (receiveBlock|writing)|",
            r"responseprocessor exception|datastreamer exception|in pipeline"
        ),
        certainty: Phrase,
        severity: Medium,
        ticket: false,
        meaning: "Data could not be passed on to the next copy.",
        check: &["The node that the message names.", "Whether enough copies were written in the end."],
    },
    Rule {
        error_type: "web-server-worker-state",
        pattern: concat!(
            r"mod_jk child|child (workerEnv )?in error state|",
            r"can't find child|error state \d"
        ),
        certainty: Exact,
        severity: Medium,
        ticket: true,
        meaning: "A connector between web server and application server is in an error state.",
        check: &[
            "Whether the application server runs, and its port.",
            "The connector's configuration of workers.",
        ],
    },
    Rule {
        error_type: "old-client",
        pattern: concat!(
            r"request from old client|deprecated (client|protocol|api)|",
            r"unsupported (client|protocol) version|version mismatch|incompatible version"
        ),
        certainty: Phrase,
        severity: Low,
        ticket: false,
        meaning: "Two sides speak different versions.",
        check: &["Which client is too old, and whether it still works."],
    },
    Rule {
        error_type: "cache-error",
        pattern: concat!(
            r"redis\S*(Exception|Error)|memcached? .*(error|fail)|cache (error|failure|unavailable)|",
            r"JedisConnection|LettuceException|\bMISCONF\b|\bCROSSSLOT\b"
        ),
        certainty: Phrase,
        severity: Medium,
        ticket: true,
        meaning: "The cache failed.",
        check: &[
            "Its memory, its persistence and its connections.",
            "Whether the program works without it, only slower.",
        ],
    },
    Rule {
        error_type: "mail-error",
        pattern: concat!(
            r"smtp.{0,30}(error|fail|refused|\b[45]\d\d\b)|MailSendException|",
            r"MessagingException|SMTP\w+(Exception|Error)|mail (could not|cannot) be"
        ),
        certainty: Phrase,
        severity: Medium,
        ticket: true,
        meaning: "A mail was not sent.",
        check: &["The mail server's answer.", "Whether it is sent again."],
    },
    Rule {
        error_type: "payment-failed",
        pattern: concat!(
            r"(payment|card|transaction) (was )?(declined|failed|rejected|refused)|",
            r"PaymentException|insufficient funds|card_declined"
        ),
        certainty: Phrase,
        severity: Medium,
        ticket: true,
        meaning: "A payment did not go through.",
        check: &["The provider's reason.", "Whether the order was left half done."],
    },
];
