use super::*;

/// A line, and its time, level, logger and message.
type Case = (&'static str, &'static str, &'static str, &'static str, &'static str);

const CASES: &[Case] = &[
    (
        "2015-10-18 18:01:47,978 INFO [main] org.foo.Bar: Created it",
        "2015-10-18 18:01:47,978",
        "INFO",
        "org.foo.Bar",
        "Created it",
    ),
    (
        "2015-10-18 18:01:47,978 INFO [IPC Server handler 19 on 62270] org.foo.Bar: Done",
        "2015-10-18 18:01:47,978",
        "INFO",
        "org.foo.Bar",
        "Done",
    ),
    (
        "2015-07-29 17:41:44,747 - INFO  [QuorumPeer[myid=1]/0:0:0:0:0:0:0:0:2181:FastLeaderElection@774] - Notification time out: 3200",
        "2015-07-29 17:41:44,747",
        "INFO",
        "FastLeaderElection",
        "Notification time out: 3200",
    ),
    (
        "2026-03-14 08:00:02,434 INFO  [inventory-sync] [MainThread] inventory.sync.scheduler - synced 200",
        "2026-03-14 08:00:02,434",
        "INFO",
        "inventory.sync.scheduler",
        "synced 200",
    ),
    (
        "2026-03-14 08:00:02,434 WARN  [shop] [cart] no stock for SKU-1 - trying again",
        "2026-03-14 08:00:02,434",
        "WARN",
        "shop",
        "[cart] no stock for SKU-1 - trying again",
    ),
    (
        "081109 203615 148 INFO dfs.DataNode$PacketResponder: PacketResponder 1 done",
        "081109 203615",
        "INFO",
        "dfs.DataNode$PacketResponder",
        "PacketResponder 1 done",
    ),
    (
        "[Sun Dec 04 04:47:44 2005] [error] mod_jk child in error state 6",
        "Sun Dec 04 04:47:44 2005",
        "error",
        "",
        "mod_jk child in error state 6",
    ),
    (
        "[Sun Dec 04 04:47:44 2005] [error] [client 1.2.3.4] File does not exist: /x",
        "Sun Dec 04 04:47:44 2005",
        "error",
        "",
        "[client 1.2.3.4] File does not exist: /x",
    ),
    (
        "[Thu Jun 09 10:00:00.123456 2022] [core:error] [pid 35708:tid 4328] AH00124: Request exceeded",
        "Thu Jun 09 10:00:00.123456 2022",
        "error",
        "core",
        "AH00124: Request exceeded",
    ),
    (
        "Jun 14 15:16:01 combo sshd(pam_unix)[19939]: authentication failure; logname=",
        "Jun 14 15:16:01",
        "",
        "sshd",
        "authentication failure; logname=",
    ),
    ("Jul  1 09:00:55 host kernel: Out of memory", "Jul  1 09:00:55", "", "kernel", "Out of memory"),
    (
        "<34>Oct 11 22:14:15 mymachine su[12]: 'su root' failed",
        "Oct 11 22:14:15",
        "CRITICAL",
        "su",
        "'su root' failed",
    ),
    (
        "2024-05-01T10:00:00.123456+00:00 web-1 sshd[123]: Accepted password",
        "2024-05-01T10:00:00.123456+00:00",
        "",
        "sshd",
        "Accepted password",
    ),
    (
        "E0508 12:00:00.123456       1 controller.go:114] failed to sync",
        "0508 12:00:00.123456",
        "ERROR",
        "controller.go",
        "failed to sync",
    ),
    (
        "2024-05-01 10:00:00.123  WARN 1234 --- [nio-8080-exec-1] c.e.shop.OrderService : Slow",
        "2024-05-01 10:00:00.123",
        "WARN",
        "c.e.shop.OrderService",
        "Slow",
    ),
    ("12:00:00.123 [main] ERROR c.e.Foo - it broke", "12:00:00.123", "ERROR", "c.e.Foo", "it broke"),
    (
        "2024-05-01 10:00:00,123 - app.db - ERROR - it broke",
        "2024-05-01 10:00:00,123",
        "ERROR",
        "app.db",
        "it broke",
    ),
    ("ERROR:django.request:Not Found: /x", "", "ERROR", "django.request", "Not Found: /x"),
    (
        "2017-05-16 00:00:00.008 25746 INFO nova.osapi.wsgi.server [req-1] GET",
        "2017-05-16 00:00:00.008",
        "INFO",
        "nova.osapi.wsgi.server",
        "[req-1] GET",
    ),
    (
        "03-17 16:13:38.811  1702  2395 D WindowManager: printFreezing",
        "03-17 16:13:38.811",
        "D",
        "WindowManager",
        "printFreezing",
    ),
    ("E/ActivityManager( 123): ANR in com.acme", "", "ERROR", "ActivityManager", "ANR in com.acme"),
    (
        "2016-09-28 04:30:30, Info                  CBS    Loaded Servicing Stack",
        "2016-09-28 04:30:30",
        "Info",
        "CBS",
        "Loaded Servicing Stack",
    ),
    (
        "17/06/09 20:10:40 INFO executor.Backend: Registered",
        "17/06/09 20:10:40",
        "INFO",
        "executor.Backend",
        "Registered",
    ),
    (
        "20171223-22:15:29:606|Step_LSC|30002312|onStandStepChanged 3579",
        "20171223-22:15:29:606",
        "",
        "Step_LSC",
        "onStandStepChanged 3579",
    ),
    (
        "2024/01/01 12:00:00 [error] 1234#0: *5 open() failed",
        "2024/01/01 12:00:00",
        "error",
        "",
        "*5 open() failed",
    ),
    (
        "10.0.0.1 - bob [10/Oct/2000:13:55:36 -0700] \"GET / HTTP/1.1\" 200 12",
        "10/Oct/2000:13:55:36 -0700",
        "",
        "",
        "\"GET / HTTP/1.1\" 200 12",
    ),
    (
        "2024-01-01 12:00:00.123 UTC [1234] ERROR:  relation \"x\" does not exist",
        "2024-01-01 12:00:00.123 UTC",
        "ERROR",
        "",
        "relation \"x\" does not exist",
    ),
    ("2009/11/10 23:00:00 main.go:23: it broke", "2009/11/10 23:00:00", "", "main.go", "it broke"),
    (
        "[2024-01-01T12:00:00Z ERROR my_crate::db] it broke",
        "2024-01-01T12:00:00Z",
        "ERROR",
        "my_crate::db",
        "it broke",
    ),
    (
        "2024-01-01T12:00:00.123Z  WARN my_crate::db: slow",
        "2024-01-01T12:00:00.123Z",
        "WARN",
        "my_crate::db",
        "slow",
    ),
    (
        "2024-01-01 12:00:00.123 | ERROR    | app.db:load:12 - it broke",
        "2024-01-01 12:00:00.123",
        "ERROR",
        "app.db",
        "it broke",
    ),
    (
        "1234:M 01 Jan 2024 12:00:00.000 # Out of memory",
        "01 Jan 2024 12:00:00.000",
        "WARNING",
        "",
        "Out of memory",
    ),
    (
        "01-May-2024 10:00:00.123 SEVERE [main] org.apache.catalina.core.X.start Failed",
        "01-May-2024 10:00:00.123",
        "SEVERE",
        "org.apache.catalina.core.X.start",
        "Failed",
    ),
    ("1700000000.123 ERROR it broke", "1700000000.123", "ERROR", "", "it broke"),
    ("[ERROR] it broke", "", "ERROR", "", "it broke"),
    ("ERROR: it broke", "", "ERROR", "", "it broke"),
    ("error: it broke", "", "error", "", "it broke"),
    ("fail: Acme.Web.Server[13]", "", "fail", "", "Acme.Web.Server[13]"),
    (
        "2024-01-01 10:00:00 ERROR Timeout: no answer",
        "2024-01-01 10:00:00",
        "ERROR",
        "",
        "Timeout: no answer",
    ),
    (
        "2024-01-01 10:00:00 ERROR java.io.IOException: no",
        "2024-01-01 10:00:00",
        "ERROR",
        "",
        "java.io.IOException: no",
    ),
    (
        "2016-10-06T00:17:09.669794202Z stdout F ERROR it broke",
        "2016-10-06T00:17:09.669794202Z",
        "ERROR",
        "",
        "it broke",
    ),
    ("2024-01-01 10:00:00 ERROR 404 not found", "2024-01-01 10:00:00", "ERROR", "", "404 not found"),
];

#[test]
fn heads_of_many_systems() {
    for (line, time, level, logger, message) in CASES {
        let header = Header::read(line).unwrap_or_else(|| panic!("no head: {line}"));
        let level = if *level == "D" { "DEBUG" } else { level };
        let read = (
            header.timestamp.unwrap_or(""),
            header.level.unwrap_or(""),
            header.logger.unwrap_or(""),
            header.message,
        );
        assert_eq!(read, (*time, level, *logger, *message), "{line}");
    }
}

#[test]
fn a_line_without_a_head_has_none() {
    for line in [
        "it broke",
        "Error: Cannot find module",
        "10.0.0.1:8080 refused",
        "",
        "[x] y",
        "Info about it",
        "errors: 5",
    ] {
        assert_eq!(Header::read(line), None, "{line}");
    }
}
