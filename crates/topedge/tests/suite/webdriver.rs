//! A browser, driven by the WebDriver protocol: JSON over plain HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// A browser without a window, and the driver that it hangs on. Both end with this.
pub(crate) struct Browser {
    driver: Child,
    /// Without a reader, the driver would end when it has something to say.
    _output: BufReader<ChildStdout>,
    port: u16,
    session: String,
}

impl Browser {
    /// Starts Chromium; `None` where its driver is not installed, unless `TOPEDGE_BROWSER=required`.
    pub(crate) fn start() -> Option<Browser> {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let required = std::env::var_os("TOPEDGE_BROWSER").is_some_and(|value| value == "required");
        let mut driver = match command.spawn() {
            Err(error) if required => {
                panic!("TOPEDGE_BROWSER is required, and chromedriver: {error}")
            }
            driver => driver.ok()?,
        };
        // It says which port it has taken.
        let mut output = BufReader::new(driver.stdout.take().unwrap());
        let lines = output.by_ref().lines().map_while(Result::ok);
        let mut ports = lines
            .filter_map(|line| line.split_once("on port ")?.1.trim_end_matches('.').parse().ok());
        let port = ports.find(|&port: &u16| port != 0);
        let port = port.expect("the driver listens");
        let mut browser = Browser { driver, _output: output, port, session: String::new() };
        let arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1280,1000"];
        let options = json!({ "args": arguments });
        let capabilities = json!({
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let answer = browser.request(
            "POST",
            "/session",
            &json!({ "capabilities": { "alwaysMatch": capabilities } }),
        );
        browser.session = answer["sessionId"].as_str().expect("a session").to_string();
        Some(browser)
    }

    pub(crate) fn open(&self, file: &Path) {
        self.command("POST", "/url", &json!({ "url": format!("file://{}", file.display()) }));
    }

    /// Gives the window another size.
    pub(crate) fn resize(&self, width: u32, height: u32) {
        self.command("POST", "/window/rect", &json!({ "width": width, "height": height }));
    }

    /// What the body of a function returns.
    pub(crate) fn evaluate(&self, script: &str) -> Value {
        self.command("POST", "/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// A click of the mouse in the middle of an element, moved by (x, y) pixels from there.
    pub(crate) fn click(&self, selector: &str, x: i32, y: i32) {
        let element = self.command(
            "POST",
            "/element",
            &json!({ "using": "css selector", "value": selector }),
        );
        self.evaluate(&format!(
            "document.querySelector({}).scrollIntoView({{ block: 'center' }})",
            json!(selector)
        ));
        let actions = json!([
            { "type": "pointerMove", "duration": 0, "origin": element, "x": x, "y": y },
            { "type": "pointerDown", "button": 0 },
            { "type": "pointerUp", "button": 0 },
        ]);
        let mouse = json!({ "type": "pointer", "id": "mouse", "actions": actions });
        self.command("POST", "/actions", &json!({ "actions": [mouse] }));
    }

    /// Presses a key on whatever has the focus.
    pub(crate) fn press(&self, key: char) {
        let key = key.to_string();
        let actions =
            json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": actions });
        self.command("POST", "/actions", &json!({ "actions": [keyboard] }));
    }

    /// All that the page has written to the console, errors of scripts among it.
    pub(crate) fn console(&self) -> Vec<Value> {
        let log = self.command("POST", "/se/log", &json!({ "type": "browser" }));
        log.as_array().cloned().unwrap_or_default()
    }

    fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        self.request(method, &format!("/session/{}{path}", self.session), body)
    }

    fn request(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        let mut line = String::new();
        while reader.read_line(&mut line).unwrap() > 2 {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer).unwrap();
        let mut answer: Value = serde_json::from_slice(&answer).unwrap();
        let value = answer["value"].take();
        assert!(value["error"].is_null(), "{method} {path}: {value}");
        value
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() && !std::thread::panicking() {
            self.command("DELETE", "", &Value::Null);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
