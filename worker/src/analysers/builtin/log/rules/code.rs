//! Faults of the program itself.

use super::super::table::Certainty::{Exact, Hint, Phrase};
use super::super::table::Rule;
use crate::answers::Severity::{High, Medium};

pub(super) const RULES: &[Rule] = &[
    Rule {
        error_type: "null-reference",
        pattern: concat!(
            r"NullPointerException|NullReferenceException|\bNPE\b|'?NoneType'? object|",
            r"nil pointer dereference|cannot read propert\w+ (\S+ )?(of|'\S+' of) (undefined|null)|",
            r"(undefined|null) is not an object|object reference not set|",
            r"undefined method .* for nil|unwrap\(\)` on a `None"
        ),
        certainty: Exact,
        severity: High,
        ticket: true,
        meaning: "The program used a value that is not there.",
        check: &[
            "Which value was empty at that line, and who should have set it.",
            "Recent changes of that code.",
        ],
    },
    Rule {
        error_type: "undefined-function",
        pattern: concat!(
            r"is not a function|undefined (function|method)|NoSuchMethod(Error|Exception)|",
            r"AttributeError|MissingMethod|has no attribute|undefined is not|",
            r"\bReferenceError|\bNameError"
        ),
        certainty: Exact,
        severity: High,
        ticket: true,
        meaning: "The program called or read something that does not exist.",
        check: &["Versions of libraries: was it renamed or removed?", "Type of the value at that line."],
    },
    Rule {
        error_type: "class-cast",
        pattern: concat!(
            r"ClassCastException|InvalidCastException|cannot be cast to|",
            r"TypeError|type mismatch|interface conversion"
        ),
        certainty: Exact,
        severity: Medium,
        ticket: true,
        meaning: "A value has another type than the code expects.",
        check: &["The value at that line and where it comes from."],
    },
    Rule {
        error_type: "index-out-of-bounds",
        pattern: concat!(
            r"IndexOutOf(Bounds|Range)\w*|IndexError|index out of (range|bounds)|",
            r"out of bounds|list index|ArrayIndex|slice bounds|RangeError"
        ),
        certainty: Exact,
        severity: Medium,
        ticket: true,
        meaning: "The program read beyond the end of a list or text.",
        check: &["Length of the data against what the code assumes: an empty answer?"],
    },
    Rule {
        error_type: "missing-key",
        pattern: concat!(
            r"KeyError|NoSuchElement(Exception)?|KeyNotFound|key (\S+ )?not found|",
            r"no such key|no value present"
        ),
        certainty: Exact,
        severity: Medium,
        ticket: true,
        meaning: "A key or element that the code expects is not there.",
        check: &["The data at that line: was a field renamed or left out?"],
    },
    Rule {
        error_type: "class-not-found",
        pattern: concat!(
            r"ClassNotFound|NoClassDefFound|ModuleNotFound|ImportError|",
            r"cannot find module|no module named|UnsatisfiedLinkError|",
            r"UnsupportedClassVersion|cannot open shared object|DLL load failed|",
            r"could not load file or assembly|symbol lookup error|NoSuchFieldError|",
            r"LinkageError|AbstractMethodError"
        ),
        certainty: Exact,
        severity: High,
        ticket: true,
        meaning: "A class, module or library is missing or of another version.",
        check: &["What the package or image contains.", "Two versions of one library."],
    },
    Rule {
        error_type: "arithmetic-error",
        pattern: concat!(
            r"ArithmeticException|ZeroDivisionError|divi(de|sion) by zero|",
            r"DivideByZero|integer overflow|arithmetic overflow|attempt to (add|subtract|multiply|divide) with overflow|",
            r"OverflowError"
        ),
        certainty: Exact,
        severity: Medium,
        ticket: true,
        meaning: "A calculation has no result: division by zero or overflow.",
        check: &["The values at that line; usually an empty list or a missing amount."],
    },
    Rule {
        error_type: "assertion-failed",
        pattern: concat!(
            r"Assertion(Error|Failed\w*)?\b.{0,3}fail\w*|AssertionError|",
            r"assertion (failed|`)|invariant (violated|violation|broken)|",
            r"should never happen|unreachable code"
        ),
        certainty: Exact,
        severity: High,
        ticket: true,
        meaning: "The program found itself in a state that its authors held impossible.",
        check: &["The state at that point and the last change of that code."],
    },
    Rule {
        error_type: "illegal-state",
        pattern: concat!(
            r"IllegalState(Exception)?|InvalidOperation(Exception)?|InvalidStateTrans\w+|",
            r"invalid (event|state)( transition)?|invalid event: \S+ at|",
            r"unsupported operation|UnsupportedOperationException|NotImplemented\w*"
        ),
        certainty: Exact,
        severity: Medium,
        ticket: true,
        meaning: "Something was done at a time or in a state in which it is not allowed.",
        check: &[
            "Order of the calls; two threads or two events at once.",
            "Things used after they were closed.",
        ],
    },
    Rule {
        error_type: "concurrent-modification",
        pattern: concat!(
            r"ConcurrentModification(Exception)?|OptimisticLock\w*|StaleObject\w*|",
            r"StaleState\w*|race condition|data race|concurrent (map|update|write)\w*|",
            r"could not serialize access|serialization failure|write conflict"
        ),
        certainty: Exact,
        severity: Medium,
        ticket: true,
        meaning: "Two parties changed the same thing at once.",
        check: &["Which two, and whether the loser is repeated."],
    },
    Rule {
        error_type: "lock-contention",
        pattern: concat!(
            r"(failed|unable|could not|cannot) to? ?(acquire|obtain|get) (the )?(\S+ )?lock|",
            r"lock (is )?held|lock (acquisition )?(timeout|timed out)|",
            r"mutex (poisoned|timeout)|PoisonError|waiting for (a )?lock"
        ),
        certainty: Phrase,
        severity: Medium,
        ticket: true,
        meaning: "A lock was not free in time.",
        check: &["Who holds it, and for what.", "Slow work done under the lock."],
    },
    Rule {
        error_type: "thread-deadlock",
        pattern: concat!(
            r"found one java-level deadlock|all goroutines are asleep|",
            r"\bdeadlock\b|blocked for more than \d+ seconds|thread(s)? (is |are )?(stuck|hung)"
        ),
        certainty: Phrase,
        severity: High,
        ticket: true,
        meaning: "Threads wait for each other or do not come back.",
        check: &["A thread dump: who waits for whom."],
    },
    Rule {
        error_type: "panic",
        pattern: concat!(
            r"panicked at|panic: |\bkernel panic\b|goroutine \d+ \[running\]|",
            r"RuntimeError: unreachable"
        ),
        certainty: Phrase,
        severity: High,
        ticket: true,
        meaning: "The program stopped itself at a fault.",
        check: &[
            "Message and place of the panic.",
            "Whether the process was started again and its work repeated.",
        ],
    },
    Rule {
        error_type: "uncaught-exception",
        pattern: concat!(
            r"uncaught ?exception|unhandled ?(exception|rejection|error|promise)|",
            r"unexpected (exception|error|throwable)|threw an exception|",
            r"exception in thread|internal error|traceback \(most recent"
        ),
        certainty: Hint,
        severity: High,
        ticket: true,
        meaning: "An error reached the top of the program without anybody handling it.",
        check: &["The first own line of the stack trace.", "What was left half done."],
    },
    Rule {
        error_type: "business-rule-error",
        pattern: r"(order|booking|invoice|shipment|reservation|cart) (\S+ )?(failed|rejected|invalid|could not|cannot)",
        certainty: Hint,
        severity: Medium,
        ticket: true,
        meaning: "A business operation was not completed.",
        check: &["The state of that operation and whether someone waits for it."],
    },
    Rule {
        error_type: "io-failure",
        pattern: r"IOException|IOError|OSError|(error|fail\w*|exception|cannot|could not|unable to)[^.]{0,20} (read|writ|open|flush|delet|sav)\w*",
        certainty: Hint,
        severity: Medium,
        ticket: true,
        meaning: "Reading or writing failed.",
        check: &["The file, socket or device and its state.", "The cause further down in the stack trace."],
    },
    Rule {
        error_type: "runtime-exception",
        pattern: concat!(r"RuntimeException|ExecutionException|InvocationTarget\w*|", r"\b\w+Exception\b"),
        certainty: Hint,
        severity: Medium,
        ticket: true,
        meaning: "The program met an exception.",
        check: &["Its message and the first own line of the stack trace."],
    },
];
