//! Lines of many systems, none from the measured sets: which are the same problem.

use super::only;
use crate::logs::fingerprint;

/// Lines that must share a fingerprint.
const SAME: &[(&str, &str)] = &[
    // sshd, other daemons, kernel
    (
        "Dec 10 06:55:48 a sshd[24200]: Failed password for invalid user bob from 173.234.31.186 port 38926 ssh2",
        "Jan  1 16:05:08 b sshd[1]: Failed password for invalid user alice from 10.0.0.1 port 2 ssh2",
    ),
    (
        "Dec 10 06:55:48 a sshd[24200]: Invalid user bob from 173.234.31.186",
        "Dec 10 06:55:48 a sshd[24201]: Invalid user oracle from 10.3.2.1",
    ),
    (
        "Jun 14 15:16:01 h sshd(pam_unix)[19939]: authentication failure; logname= uid=0 tty=ssh ruser= rhost=1.2.3.4",
        "Jun 14 15:16:01 h sshd(pam_unix)[20000]: authentication failure; logname= uid=0 tty=ssh ruser=bob rhost=h.example.org",
    ),
    (
        "Jun 19 00:22:10 h ftpd[30000]: connection from 210.118.170.95 () at Sun Jun 19 00:22:10 2005",
        "Jul 10 03:55:15 h ftpd[1]: connection from 10.0.0.1 () at Mon Jul 10 03:55:15 2005",
    ),
    (
        "Jan 01 00:00:00 h systemd[1]: Started Session 1234 of user alice.",
        "Feb 11 00:00:00 h systemd[1]: Started Session 5 of user bob.",
    ),
    (
        "Jul  1 09:00:55 h kernel: Out of memory: Kill process 1234 (java) score 912 or sacrifice child",
        "Jul  2 19:00:55 h kernel: Out of memory: Kill process 99 (java) score 1 or sacrifice child",
    ),
    (
        "Jul  1 09:00:55 h kernel: EXT4-fs error (device sda1): inode #2: reading directory lblock 0",
        "Jul  1 09:00:55 h kernel: EXT4-fs error (device sda3): inode #77: reading directory lblock 8",
    ),
    // web servers
    (
        "10.0.0.1 - - [10/Oct/2000:13:55:36 -0700] \"GET /a/b?x=1&y=2 HTTP/1.1\" 404 153 \"-\" \"Mozilla/5.0 (X11; Linux x86_64) Gecko\"",
        "10.0.0.9 - bob [11/Oct/2000:13:55:36 -0700] \"GET /favicon.ico HTTP/1.1\" 403 9 \"http://x/\" \"curl/7.68.0\"",
    ),
    (
        "2024/01/01 12:00:00 [error] 1234#0: *5 open() \"/a/b.ico\" failed (2: No such file or directory), client: 10.0.0.1, request: \"GET /b.ico HTTP/1.1\"",
        "2024/02/01 12:00:00 [error] 99#1: *77 open() \"/c\" failed (2: No such file or directory), client: 10.9.0.1, request: \"GET /c HTTP/1.1\"",
    ),
    // databases
    (
        "2024-01-01 12:00:00.123 UTC [1234] ERROR:  duplicate key value violates unique constraint \"users_email_key\"",
        "2024-01-02 12:00:00.123 UTC [99] ERROR:  duplicate key value violates unique constraint \"orders_pkey\"",
    ),
    (
        "1234:M 01 Jan 2024 12:00:00.000 # Connection with replica client id #5 lost.",
        "7:M 02 Feb 2024 12:00:00.000 # Connection with replica client id #99 lost.",
    ),
    // Kubernetes
    (
        "E0508 12:00:00.123456       1 reflector.go:114] failed to list pods: Get \"https://10.96.0.1:443/api?limit=500\": dial tcp 10.96.0.1:443: i/o timeout",
        "E0509 12:00:00.123456       9 reflector.go:120] failed to list pods: Get \"https://10.97.0.1:443/api\": dial tcp 10.97.0.1:443: i/o timeout",
    ),
    (
        "Back-off restarting failed container api-7d9f8b6c5-abcde",
        "Back-off restarting failed container api-5f7c9d8b4-x2kzq",
    ),
    (
        "Killing container 8f14e45fceea167a5a36dedd4bea2543",
        "Killing container c9f0f895fb98ab9159f51fd0297e236d",
    ),
    // frameworks
    (
        "2024-05-01 10:00:00.123 ERROR 1234 --- [nio-8080-exec-1] c.e.shop.OrderService : Order 17 failed after 1.2s",
        "2024-05-02 10:00:00.123 ERROR 99 --- [nio-8080-exec-7] c.e.shop.OrderService : Order 99 failed after 850ms",
    ),
    (
        "2024-05-01 10:00:00,123 ERROR django.request: Internal Server Error: /orders/123/",
        "2024-05-01 10:00:00,123 ERROR django.request: Internal Server Error: /orders/9/items/",
    ),
    (
        "time=2024-05-01T10:00:00Z level=error msg=\"upload of 3 files failed\" id=7",
        "time=2024-05-02T11:00:00Z level=error msg=\"upload of 12 files failed\" id=9",
    ),
    (
        "(node:1234) Warning: 11 listeners added to [EventEmitter]",
        "(node:99) Warning: 12 listeners added to [EventEmitter]",
    ),
    // platforms
    (
        "2017-05-16 00:00:04.500 2931 INFO nova.compute.manager [req-3ea4052c-895d-4b64-9e2d-04d64c4d94ab - - -] [instance: b9000564-fe1a-409b-b8cc-1e88b294cd1d] VM Started",
        "2017-05-17 00:00:04.500 99 INFO nova.compute.manager [req-aaaa052c-895d-4b64-9e2d-04d64c4d94ab - - -] [instance: c9000564-fe1a-409b-b8cc-1e88b294cd1d] VM Started",
    ),
    (
        "- 1117838570 2005.06.03 R02-M1-N0-C:J12-U11 2005-06-03-15.42.50.363779 R02-M1-N0-C:J12-U11 RAS KERNEL INFO parity error corrected",
        "- 1117838999 2005.06.04 R16-M0-N2-C:J01-U01 2005-06-04-15.42.50.363779 R16-M0-N2-C:J01-U01 RAS KERNEL INFO parity error corrected",
    ),
    (
        "03-17 16:13:38.811  1702  2395 D WindowManager: token = Token{a64f992 ActivityRecord{de9231d u0 t761}}",
        "03-18 16:13:38.811  1  5 D WindowManager: token = Token{b64f993 ActivityRecord{ce9231d u0 t99}}",
    ),
    (
        "2016-09-28 04:30:31, Info                  CBS    Session 30546173_4261722401 initialized",
        "2016-09-29 04:30:31, Info                  CBS    Session 30546174_99 initialized",
    ),
    ("Cannot open C:\\Users\\bob\\AppData\\a.txt", "Cannot open D:\\b.log"),
    // shapes
    ("Sent mail to bob@example.com", "Sent mail to alice.b@mail2.example.org"),
    ("Deleting blk_1 blk_2 blk_3", "Deleting blk_9"),
    (
        "Request failed: {\"id\":5,\"items\":[{\"a\":1},{\"a\":2}]}",
        "Request failed: {\"id\":6,\"items\":[{\"a\":3}]}",
    ),
    (
        "Retrying (attempt=3, delay=200ms, target=<host:a, port:1>)",
        "Retrying (attempt=4, delay=1m5s, target=<host:b, port:2>)",
    ),
    ("Object Foo@33557fe4 leaked", "Object Foo@1a2b leaked"),
    ("Peer fe80::1ff:fe23:4567:890a gone", "Peer ::1 gone"),
    ("took 5 ms", "took 1.5 seconds"),
    ("feature x enabled: true", "feature x enabled: false"),
    ("Progress: 37%", "Progress: 100%"),
    ("iar 00106570 dear 0245a6b0", "iar 0010657a dear 02451234"),
    ("answer {\"status\":404}", "answer {\"status\":410}"),
];

/// Lines that must not.
const APART: &[(&str, &str)] = &[
    ("Failed password for root from 10.0.0.1 port 2", "Accepted password for root from 10.0.0.1 port 2"),
    // A missing page and a broken server are different problems; two missing pages are not.
    (
        "10.0.0.1 - - [10/Oct/2000:13:55:36 -0700] \"GET /a HTTP/1.1\" 404 153",
        "10.0.0.1 - - [10/Oct/2000:13:55:36 -0700] \"GET /a HTTP/1.1\" 500 153",
    ),
    (
        "10.0.0.1 - - [10/Oct/2000:13:55:36 -0700] \"GET /a HTTP/1.1\" 404 153",
        "10.0.0.1 - - [10/Oct/2000:13:55:36 -0700] \"POST /a HTTP/1.1\" 404 153",
    ),
    ("upstream answered with status code 404", "upstream answered with status code 503"),
    ("answer {\"status\":404}", "answer {\"status\":500}"),
    // What the system says by number.
    ("worker exited with code 137", "worker exited with code 1"),
    ("killed by signal 9", "killed by signal 11"),
    ("write failed: errno 13", "write failed: errno 28"),
    // What went wrong, in fields that say so.
    ("upload failed error=timeout id=5", "upload failed error=refused id=5"),
    ("upload failed reason=\"disk full\"", "upload failed reason=\"no route\""),
    ("call failed: {\"error\":\"not found\",\"id\":4}", "call failed: {\"error\":\"timeout\",\"id\":4}"),
    (
        "time=1 level=error msg=\"flush failed\" err=\"connection refused\"",
        "time=1 level=error msg=\"flush failed\" err=\"no such host\"",
    ),
    ("Transitioned from NEW to RUNNING", "Transitioned from RUNNING to FAILED"),
    ("java.io.IOException: broken pipe", "java.net.SocketException: broken pipe"),
    ("ORA-00942: table or view does not exist", "ORA-00001: unique constraint violated"),
    (
        "2024-01-01 10:00:00 ERROR [main] org.acme.A: it broke",
        "2024-01-01 10:00:00 ERROR [main] org.acme.B: it broke",
    ),
    ("job n/a", "job I/O"),
];

fn print(line: &str) -> (String, String) {
    let event = only(line);
    let print = fingerprint(&event);
    (print.fingerprint.to_string(), format!("[{}] {}", event.logger, print.template))
}

#[test]
fn the_same_problem_has_one_fingerprint() {
    for (one, other) in SAME {
        let (one, other) = (print(one), print(other));
        assert_eq!(one.0, other.0, "\n{}\n{}", one.1, other.1);
    }
}

#[test]
fn different_problems_have_two() {
    for (one, other) in APART {
        let (one, other) = (print(one), print(other));
        assert_ne!(one.0, other.0, "\n{}\n{}", one.1, other.1);
    }
}
