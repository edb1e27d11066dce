//! Events of a log, one after the other.

use std::collections::VecDeque;
use std::io::Read;

use super::error::LogError;
use super::event::LogEvent;
use super::header::Header;
use super::level::Level;
use super::lines::Lines;
use super::options::{LogFormat, LogOptions};
use super::report::LogReport;
use super::trace::Joiner;
use super::{json, logfmt};

/// Lines looked at to tell JSON from text.
const SAMPLED_LINES: usize = 20;
/// Bytes of sampled lines kept in memory at most.
const SAMPLED_BYTES: usize = 1024 * 1024;

/// Reads events. Holds one event and, at the start, a few lines.
pub struct EventReader<R> {
    lines: Lines<R>,
    sample: VecDeque<(String, u64)>,
    options: LogOptions,
    is_json: bool,
    /// The event whose lines are still being read.
    current: Option<(LogEvent, Joiner)>,
    /// Events that are complete.
    ready: VecDeque<LogEvent>,
    /// Lines taken out of the sample or read after it.
    line: u64,
    report: LogReport,
}

impl<R: Read> EventReader<R> {
    /// Looks at the first lines. Input that is empty or no text is an error.
    pub fn open(input: R, options: &LogOptions) -> Result<Self, LogError> {
        let lines = Lines::open(input, options.max_line_kb.max(1) * 1024)?;
        let mut reader = Self {
            lines,
            sample: VecDeque::new(),
            options: options.clone(),
            is_json: false,
            current: None,
            ready: VecDeque::new(),
            line: 0,
            report: LogReport::default(),
        };
        reader.sample()?;
        Ok(reader)
    }

    /// The next event; `None` at the end of the log.
    pub fn next_event(&mut self) -> Result<Option<LogEvent>, LogError> {
        loop {
            if let Some(mut event) = self.ready.pop_front() {
                self.cap_message(&mut event);
                return Ok(Some(event));
            }
            let Some(line) = self.next_line()? else {
                let Some((event, _)) = self.current.take() else { return Ok(None) };
                self.complete(event);
                continue;
            };
            self.take(&line);
        }
    }

    /// What became of the lines so far.
    pub fn report(&self) -> &LogReport {
        &self.report
    }

    /// The report, at the end.
    pub fn into_report(mut self) -> LogReport {
        // Stopped early: sampled lines that nobody looked at were not read.
        self.report.lines -= self.sample.len() as u64;
        self.report.bytes -= self.sample.iter().map(|(_, bytes)| bytes).sum::<u64>();
        self.report
    }

    fn sample(&mut self) -> Result<(), LogError> {
        let mut objects = 0;
        let mut texts = 0;
        let mut bytes = 0;
        while texts < SAMPLED_LINES && bytes < SAMPLED_BYTES {
            let before = self.report.bytes;
            let Some(line) = self.lines.next(&mut self.report)? else { break };
            bytes += line.len();
            texts += usize::from(!line.trim().is_empty());
            objects += usize::from(is_json_like(&line));
            // Blank lines are not kept one by one: a gigabyte of them is still flat.
            if texts > 0 {
                self.sample.push_back((line, self.report.bytes - before));
            } else {
                self.line += 1;
                self.report.blank_lines += 1;
            }
        }
        if texts == 0 {
            return Err(LogError::Empty);
        }
        self.is_json = match self.options.format {
            LogFormat::Auto => objects * 2 > texts,
            LogFormat::Json => true,
            LogFormat::Plain => false,
        };
        Ok(())
    }

    fn next_line(&mut self) -> Result<Option<String>, LogError> {
        let line = match self.sample.pop_front() {
            Some((line, _)) => Some(line),
            None => self.lines.next(&mut self.report)?,
        };
        self.line += u64::from(line.is_some());
        Ok(line)
    }

    fn take(&mut self, line: &str) {
        if line.trim().is_empty() {
            self.report.blank_lines += 1;
            return;
        }
        if is_json_like(line) {
            match json::read(line.trim_start(), &self.options.fields) {
                Some(json::Parsed::One(event)) => return self.begin(*event, None),
                Some(json::Parsed::Page(events)) => return self.page(events),
                None => {}
            }
        }
        if self.is_json {
            self.report.malformed_json_lines += 1;
            self.report.first_malformed_line.get_or_insert(self.line);
        }
        self.text(line);
    }

    fn page(&mut self, events: Vec<LogEvent>) {
        if let Some((event, _)) = self.current.take() {
            self.complete(event);
        }
        self.report.page_lines += 1;
        self.report.page_events += events.len() as u64;
        self.report.events += events.len() as u64;
        for event in events {
            self.complete(LogEvent { first_line: self.line, last_line: self.line, ..event });
        }
    }

    fn text(&mut self, line: &str) {
        let trimmed = line.trim();
        let header = Header::read(trimmed);
        let indented = line.starts_with([' ', '\t']);
        // Inside a trace an indented line is a frame, whatever it looks like, unless it has a time.
        let header = header.filter(|header| !indented || header.timestamp.is_some());
        if let Some(header) = header {
            let event = LogEvent {
                timestamp: header.timestamp.map(|time| time.trim_end().to_owned()),
                level: header.level.map(str::to_ascii_uppercase).unwrap_or_default(),
                logger: header.logger.unwrap_or_default().to_owned(),
                service: header.service.map(str::to_owned),
                message: header.message.trim_end().to_owned(),
                ..LogEvent::default()
            };
            let joiner = Joiner::start(&event.message, true);
            return self.begin(event, Some(joiner));
        }
        if let Some(pairs) = logfmt::read(trimmed) {
            return self.begin(json::event(&pairs, &self.options.fields), None);
        }
        let joins = self.current.as_mut().is_some_and(|(_, joiner)| joiner.joins(line.trim_end()));
        if joins {
            return self.join(line.trim_end());
        }
        let message = trimmed.to_owned();
        let joiner = Joiner::start(&message, false);
        self.begin(LogEvent { message, ..LogEvent::default() }, Some(joiner));
    }

    fn begin(&mut self, event: LogEvent, joiner: Option<Joiner>) {
        self.report.events += 1;
        self.report.event_lines += 1;
        let event = LogEvent { first_line: self.line, last_line: self.line, ..event };
        let joiner = joiner.unwrap_or_default();
        if let Some((complete, _)) = self.current.replace((event, joiner)) {
            self.complete(complete);
        }
    }

    fn join(&mut self, line: &str) {
        self.report.joined_lines += 1;
        let most = self.options.max_stack_kb * 1024;
        let Some((event, _)) = &mut self.current else { return };
        event.last_line = self.line;
        let stack = event.stack.get_or_insert_default();
        // One line more than is kept marks it as too long; `complete` cuts it.
        if stack.len() <= most {
            if !stack.is_empty() {
                stack.push('\n');
            }
            stack.push_str(line);
        }
    }

    /// Puts an event in its final shape.
    fn complete(&mut self, mut event: LogEvent) {
        if event.message.is_empty() || event.message.starts_with(super::trace::PYTHON) {
            promote(&mut event);
        }
        let most = self.options.max_stack_kb * 1024;
        if let Some(stack) = &mut event.stack
            && stack.len() > most
        {
            stack.truncate(stack.floor_char_boundary(most));
            self.report.truncated_stacks += 1;
        }
        self.ready.push_back(event);
    }

    fn cap_message(&mut self, event: &mut LogEvent) {
        let most = self.options.max_message_kb.max(1) * 1024;
        if event.message.len() > most {
            event.message.truncate(event.message.floor_char_boundary(most));
            self.report.truncated_messages += 1;
        }
    }

    /// The next event that makes a job; those below the least level are counted.
    pub fn next_passing(&mut self) -> Result<Option<LogEvent>, LogError> {
        while let Some(event) = self.next_event()? {
            if self.passes(&event) {
                return Ok(Some(event));
            }
            self.report.below_level += 1;
        }
        Ok(None)
    }

    fn passes(&self, event: &LogEvent) -> bool {
        match (self.options.min_level, Level::read(&event.level)) {
            (Some(least), Some(level)) => level >= least,
            _ => true,
        }
    }
}

fn is_json_like(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with('{') || line.starts_with("[{")
}

/// A head with nothing behind it, or a bare Python trace: the line that says what happened
/// becomes the message.
fn promote(event: &mut LogEvent) {
    let Some(stack) = event.stack.take() else { return };
    if event.message.is_empty() {
        let (first, rest) = stack.split_once('\n').unwrap_or((&stack, ""));
        first.trim().clone_into(&mut event.message);
        event.stack = (!rest.is_empty()).then(|| rest.to_owned());
        return;
    }
    let last = stack.lines().rfind(|line| !line.starts_with(char::is_whitespace) && !line.is_empty());
    let message = last.unwrap_or(&event.message).to_owned();
    event.stack = Some(format!("{}\n{stack}", event.message));
    event.message = message;
}
