//! Databases, files, formats.

use super::super::table::Certainty::{Exact, Phrase};
use super::super::table::Rule;
use crate::answers::Severity::{High, Medium};

pub(super) const RULES: &[Rule] = &[
    Rule {
        error_type: "database-deadlock",
        pattern: concat!(
            r"deadlock (found|detected|victim)|DeadlockLoser|LockAcquisitionException|",
            r"\b40P01\b|ORA-00060"
        ),
        certainty: Exact,
        severity: Medium,
        ticket: true,
        meaning: "Two transactions waited for each other; the database ended one.",
        check: &["Order in which transactions lock their rows.", "Whether the ended one is repeated."],
    },
    Rule {
        error_type: "database-lock-timeout",
        pattern: concat!(
            r"lock wait timeout|lock request time out|database is locked|",
            r"could not obtain lock|LockTimeout|SQLITE_BUSY"
        ),
        certainty: Exact,
        severity: Medium,
        ticket: true,
        meaning: "A lock in the database was not granted in time.",
        check: &[
            "Long transactions at that time.",
            "Missing indexes that make an update lock too many rows.",
        ],
    },
    Rule {
        error_type: "duplicate-key",
        pattern: concat!(
            r"duplicate (key|entry)|unique (constraint|violation)|UNIQUE constraint failed|",
            r"DuplicateKey|\b23505\b|ORA-00001"
        ),
        certainty: Exact,
        severity: Medium,
        ticket: true,
        meaning: "A row with the same key exists already.",
        check: &["Whether the same request was sent twice.", "Races between checking and inserting."],
    },
    Rule {
        error_type: "constraint-violation",
        pattern: concat!(
            r"foreign key constraint|violates (check|not-null|foreign)|",
            r"DataIntegrityViolation|ConstraintViolation|IntegrityError|",
            r"cannot be null"
        ),
        certainty: Exact,
        severity: Medium,
        ticket: true,
        meaning: "The data breaks a rule of the database.",
        check: &["Which field, and where its value comes from.", "Validation before the write."],
    },
    Rule {
        error_type: "connection-pool-exhausted",
        pattern: concat!(
            r"(connection )?pool (is )?(exhausted|empty)|PoolExhausted|",
            r"connection is not available, request timed out|too many connections|",
            r"remaining connection slots|QueuePool limit|timeout waiting for (idle object|connection from pool)|",
            r"no (available|free) connections?"
        ),
        certainty: Exact,
        severity: High,
        ticket: true,
        meaning: "No database or client connection was free in time.",
        check: &[
            "Connections that are held during slow work or never returned.",
            "Pool size against the server's limit and the number of instances.",
        ],
    },
    Rule {
        error_type: "database-syntax",
        pattern: concat!(
            r"SQLSyntaxError|syntax error at or near|BadSqlGrammar|error in your SQL syntax|",
            r"no such (table|column)|(relation|column|table) \S+ (does not|doesn't) exist|",
            r"unknown column|ORA-009\d\d"
        ),
        certainty: Exact,
        severity: High,
        ticket: true,
        meaning: "A statement does not fit the database: wrong syntax, table or column.",
        check: &["Whether all migrations ran before the release.", "The statement that was sent."],
    },
    Rule {
        error_type: "database-replication",
        pattern: concat!(
            r"replication (lag|error|fail|stopped|broken)|replica (is )?(behind|stopped|out of sync)|",
            r"read[- ]only (transaction|replica|mode)|slave (sql|io) thread"
        ),
        certainty: Phrase,
        severity: High,
        ticket: true,
        meaning: "Replication of the database lags or broke.",
        check: &["State and delay of the replicas.", "Whether writes go to the primary."],
    },
    Rule {
        error_type: "database-error",
        pattern: concat!(
            r"SQLException|DatabaseError|OperationalError|PSQLException|",
            r"MySQL\w*Exception|MongoError|MongoException|JDBCException|",
            r"SQLSTATE|\bORA-\d{5}|PersistenceException|database (error|unavailable|is down)"
        ),
        certainty: Phrase,
        severity: High,
        ticket: true,
        meaning: "The database refused or failed a statement.",
        check: &[
            "The database's own log at that time.",
            "State of the connection: network, login, failover.",
        ],
    },
    Rule {
        error_type: "file-not-found",
        pattern: concat!(
            r"FileNotFound(Exception|Error)?|NoSuchFile(Exception)?|no such file or directory|",
            r"\bENOENT\b|(file|path|directory) (does not|doesn't) exist|",
            r"file not found|cannot find the (file|path)"
        ),
        certainty: Exact,
        severity: Medium,
        ticket: true,
        meaning: "A file or folder is not where the program expects it.",
        check: &[
            "The path, its mount and the working directory.",
            "Who should have written it, and whether it was cleaned up too early.",
        ],
    },
    Rule {
        error_type: "data-corruption",
        pattern: concat!(
            r"checksum (error|mismatch|fail\w*|does not match|exception)|",
            r"ChecksumException|corrupt(ed|ion)?\b|CRC (error|mismatch)|",
            r"data integrity (error|check failed)|bad magic|torn (page|write)"
        ),
        certainty: Exact,
        severity: High,
        ticket: true,
        meaning: "Stored or sent data is not what was written.",
        check: &[
            "Which file or block, and whether a good copy exists.",
            "Disk, memory and network of the host.",
        ],
    },
    Rule {
        error_type: "missing-data-block",
        pattern: concat!(
            r"(missing|lost|under-?replicated) blocks?|block\S* (is )?(missing|not found|not valid)|",
            r"could not obtain block|BlockMissing|exception while serving (blk|block)|",
            r"bad datanode|unexpected error trying to delete block|error recovery for block"
        ),
        certainty: Phrase,
        severity: Medium,
        ticket: true,
        meaning: "A block of distributed storage could not be read, served or found.",
        check: &["Health of the nodes that hold copies.", "Number of copies that are left."],
    },
    Rule {
        error_type: "parse-error",
        pattern: concat!(
            r"(Json\w*|XML\w*|SAX|Yaml\w*|Csv)\w*(Parse|Processing|Syntax|Mapping|Decode)\w*(Exception|Error)|",
            r"JSONDecodeError|ParseException|ParseError|unexpected (token|end of (json|input|file))|",
            r"malformed (json|xml|request|input|url)|(un|can ?not |failed to )pars(e|able)\b|",
            r"invalid json|DateTimeParse"
        ),
        certainty: Exact,
        severity: Medium,
        ticket: true,
        meaning: "Input could not be read in the expected format.",
        check: &[
            "The input itself: cut off, another version, an error page instead of data.",
            "Who sent it and since when.",
        ],
    },
    Rule {
        error_type: "serialization-error",
        pattern: concat!(
            r"(De)?Serializ\w*(Exception|Error)|NotSerializable|InvalidClassException|",
            r"protobuf.*(invalid|parse)|(un|de)?marshal\w* (error|fail\w*)|",
            r"UnicodeDecodeError|UnicodeEncodeError|MalformedInput|invalid (utf-8|byte sequence)"
        ),
        certainty: Exact,
        severity: Medium,
        ticket: true,
        meaning: "Data could not be turned into bytes or back.",
        check: &["Versions of the classes or schema on both sides.", "Character encoding."],
    },
    Rule {
        error_type: "number-format",
        pattern: concat!(
            r"NumberFormatException|invalid literal for int|could not convert string to float|",
            r"FormatException|strconv\.\w+: parsing"
        ),
        certainty: Exact,
        severity: Medium,
        ticket: true,
        meaning: "A text that should be a number is none.",
        check: &["The value and where it comes from: an empty field, another locale."],
    },
    Rule {
        error_type: "validation-error",
        pattern: concat!(
            r"Validat\w*(Exception|Error)|validation (failed|error)|MethodArgumentNotValid|",
            r"invalid (value|argument|parameter|input|request|field)|IllegalArgumentException|",
            r"ArgumentException|ValueError|required (field|parameter|property)|",
            r"(field|parameter) \S+ is (required|missing)|schema violation"
        ),
        certainty: Phrase,
        severity: Medium,
        ticket: true,
        meaning: "A value does not meet the rules of the program that got it.",
        check: &[
            "Which value, and who sent it.",
            "Whether caller and receiver agree on the interface's version.",
        ],
    },
    Rule {
        error_type: "missing-entity",
        pattern: concat!(
            r"EntityNotFound|ObjectNotFound|NoResultException|RecordNotFound|",
            r"DoesNotExist|no (rows|record|entity) (was |were )?found|",
            r"unknown (container|order|user|customer|session|task|job)"
        ),
        certainty: Phrase,
        severity: Medium,
        ticket: true,
        meaning: "Something that should exist was not found.",
        check: &[
            "Whether it was deleted or not yet created when it was asked for.",
            "Ids that come from another environment.",
        ],
    },
];
