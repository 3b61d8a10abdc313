"""GitHub's API, as far as a chain asks it: real HTTP on loopback, for tests and for runs of act.

Started as a program it serves what a file of settings says, prints its URL, and ends with its stdin.
Tokens have the rights that the settings give them; each fault spoils as many requests as it says.
"""

import json
import random
import re
import ssl
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

MAX_KEYS = 10
MAX_PAYLOAD = 64 << 10
MAX_STATUSES = 1000
STATES = ("error", "failure", "pending", "success")


class GitHub:
    """The API. `settings` names repositories, tokens and faults; all of them may be missing."""

    def __init__(self, settings):
        self.repositories = settings.get("repos", {})
        self.tokens = settings.get("tokens", {})
        self.faults = list(settings.get("faults", []))
        # How many lists of statuses do not show the newest one yet.
        self.stale_lists = settings.get("stale_lists", 0)
        # How long a list may not show a status, at most. With `torn`, each status and each list has a lag of its own.
        self.lag_seconds = settings.get("lag_seconds", 0)
        self.torn = settings.get("torn", False)
        self.made = {}
        self.requests = []
        self.dispatches = []
        self.statuses = {}
        self.releases = {}
        self.last_id = 0
        self.lock = threading.RLock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Request,), {"github": self}))
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        if "tls" in settings:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(settings["tls"]["cert"], settings["tls"]["key"])
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            self.url = f"https://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def next_id(self):
        self.last_id += 1
        return self.last_id

    def state(self):
        """Returns all that came and what became of it."""
        with self.lock:
            state = {
                "requests": self.requests,
                "dispatches": self.dispatches,
                "statuses": self.statuses,
                "releases": self.releases,
            }
            return json.loads(json.dumps(state))

    def move(self, repository, ref, sha):
        """Makes or moves a branch or tag: `heads/main`."""
        with self.lock:
            self.repositories[repository].setdefault("refs", {})[ref] = sha

    def fault(self, method, path):
        """Takes the first fault that fits a request."""
        for fault in self.faults:
            fits = fault.get("method", method) == method and re.search(fault.get("path", ""), path)
            if fits and fault.get("times", 1) > 0:
                fault["times"] = fault.get("times", 1) - 1
                return fault
        return None


class Refused(Exception):
    """An answer that is not the one that was hoped for."""

    def __init__(self, status, message, headers=None, **more):
        super().__init__(message)
        self.status = status
        self.body = {"message": message, **more}
        self.headers = headers or {}


class Request(BaseHTTPRequestHandler):
    """One request."""

    github: GitHub
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.handle_request(None)

    def do_POST(self):
        self.handle_request(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def handle_request(self, raw):
        path = urlsplit(self.path).path
        with self.github.lock:
            if path.startswith("/_/"):
                self.administer(path, raw)
                return
            fault = self.github.fault(self.command, path)
            if fault is None or fault.get("when") == "after":
                status, body, headers = self.answer_to(path, raw)
            if fault is not None:
                status = fault["status"]
                body = fault.get("body", {"message": "Server Error"})
                headers = fault.get("headers", {})
            seen = {"method": self.command, "path": self.path, "status": status}
            self.github.requests.append(seen)
        self.answer(status, body, headers)

    def answer_to(self, path, raw):
        """Returns the answer to a request that no fault spoils, as it is after the request is done."""
        try:
            if self.headers.get("X-GitHub-Api-Version") != "2022-11-28" or not self.headers.get("User-Agent"):
                raise Refused(403, "Request forbidden by administrative rules.")
            return self.route(path, json.loads(raw) if raw else None)
        except Refused as refused:
            return refused.status, refused.body, self.scopes() | refused.headers

    def route(self, path, body):
        routes = [
            ("GET", r"/repos/([^/]+/[^/]+)", self.get_repository),
            ("GET", r"/repos/([^/]+/[^/]+)/commits/([0-9a-f]{40})/statuses", self.list_statuses),
            ("GET", r"/repos/([^/]+/[^/]+)/commits/(.+)", self.get_commit),
            ("POST", r"/repos/([^/]+/[^/]+)/statuses/([0-9a-f]{40})", self.create_status),
            ("POST", r"/repos/([^/]+/[^/]+)/dispatches", self.create_dispatch),
            ("GET", r"/repos/([^/]+/[^/]+)/releases", self.list_releases),
            ("POST", r"/repos/([^/]+/[^/]+)/releases", self.create_release),
        ]
        self.authenticate()
        if path == "/installation/repositories":
            return self.list_installation()
        for method, pattern, act in routes:
            match = re.fullmatch(pattern, path)
            if match and method == self.command:
                parts = [unquote(part) for part in match.groups()]
                known = {name.lower(): name for name in self.github.repositories}
                repository = known.get(parts[0].lower())
                if repository is None or not self.may(repository, "metadata:read"):
                    raise Refused(404, "Not Found")
                return act(repository, *parts[1:], **({} if body is None else {"body": body}))
        raise Refused(404, "Not Found")

    # Who asks, and what they may.

    def authenticate(self):
        given = self.headers.get("Authorization")
        self.token = self.github.tokens.get((given or "").removeprefix("Bearer "))
        if given is not None and self.token is None:
            raise Refused(401, "Bad credentials")

    def scopes(self):
        token = getattr(self, "token", None) or {}
        classic = token.get("kind") == "classic"
        return {"X-OAuth-Scopes": ", ".join(token.get("scopes", []))} if classic else {}

    def may(self, repository, right):
        """Tells whether who asks has a right: `contents:write`, or to see that it is there."""
        private = self.github.repositories[repository].get("private", False)
        sees = right == "metadata:read"
        if self.token is None:
            return sees and not private
        if self.token["kind"] == "classic":
            scopes = self.token["scopes"]
            enough = {"repo"} | ({"repo:status"} if right == "statuses:write" else set())
            enough |= set() if private else {"public_repo"}
            return bool(enough & set(scopes)) or (sees and not private)
        rights = self.token.get("repos", {}).get(repository, [])
        return right in rights or (sees and (bool(rights) or not private))

    def need(self, repository, right):
        if not self.may(repository, right):
            who = "integration" if (self.token or {}).get("kind") == "installation" else "personal access token"
            headers = {"X-Accepted-GitHub-Permissions": right.replace(":", "=")}
            if self.token is None:
                raise Refused(401, "Requires authentication")
            if self.token["kind"] == "classic":
                raise Refused(404, "Not Found")
            raise Refused(403, f"Resource not accessible by {who}", headers)

    # What they ask for.

    def get_repository(self, repository):
        settings = self.github.repositories[repository]
        body = {
            "full_name": repository,
            "private": settings.get("private", False),
            "default_branch": settings.get("branch", "main"),
        }
        if self.token is not None:
            # Of an installation it says no more than that it sees the repository.
            is_user = self.token["kind"] != "installation"
            may_push = is_user and self.may(repository, "contents:write")
            body["permissions"] = {"pull": True, "push": may_push}
        return 200, body, self.scopes()

    def list_installation(self):
        if (self.token or {}).get("kind") != "installation":
            raise Refused(403, "You must authenticate with an installation access token.")
        repositories = [{"full_name": name} for name in self.token.get("repos", {})]
        return 200, {"total_count": len(repositories), "repositories": repositories}, {}

    def get_commit(self, repository, ref):
        refs = self.github.repositories[repository].get("refs", {})
        sha = ref if ref in refs.values() else refs.get(ref) or refs.get(f"heads/{ref}") or refs.get(f"tags/{ref}")
        if sha is None:
            raise Refused(422, f"No commit found for SHA: {ref}")
        if self.headers.get("Accept") == "application/vnd.github.sha":
            return 200, sha, self.scopes()
        return 200, {"sha": sha}, self.scopes()

    def list_statuses(self, repository, sha):
        query = parse_qs(urlsplit(self.path).query)
        size, page = int(query.get("per_page", ["30"])[0]), int(query.get("page", ["1"])[0])
        newest_first = self.github.statuses.get(f"{repository}@{sha}", [])[::-1]
        if self.github.stale_lists > 0:
            self.github.stale_lists -= 1
            newest_first = newest_first[1:]
        now, lag = time.monotonic(), random.random()
        ages = [(status, now - self.github.made[status["id"]]) for status in newest_first]
        newest_first = [
            status
            for status, age in ages
            if age >= self.github.lag_seconds * (random.random() if self.github.torn else lag)
        ]
        return 200, newest_first[size * (page - 1) : size * page], self.scopes()

    def create_status(self, repository, sha, body):
        self.need(repository, "statuses:write")
        statuses = self.github.statuses.setdefault(f"{repository}@{sha}", [])
        same = [status for status in statuses if status["context"] == body.get("context")]
        if body.get("state") not in STATES or len(body.get("description", "")) > 140:
            raise Refused(422, "Validation Failed")
        if len(same) >= MAX_STATUSES:
            raise Refused(422, "This SHA and context has reached the maximum number of statuses.")
        keys = ("state", "context", "target_url", "description")
        status = {"id": self.github.next_id(), **{key: body.get(key) for key in keys}}
        statuses.append(status)
        self.github.made[status["id"]] = time.monotonic()
        return 201, status, self.scopes()

    def create_dispatch(self, repository, body):
        self.need(repository, "contents:write")
        payload = body.get("client_payload", {})
        if not 0 < len(body.get("event_type", "")) <= 100:
            raise Refused(422, "Invalid request.\n\nevent_type must be 100 characters or fewer.")
        if not isinstance(payload, dict) or len(payload) > MAX_KEYS:
            raise Refused(422, f"No more than {MAX_KEYS} properties are allowed; {len(payload)} were supplied.")
        if len(json.dumps(payload)) > MAX_PAYLOAD:
            raise Refused(422, "client_payload is too large.")
        dispatch = {"repository": repository, "event_type": body["event_type"], "client_payload": payload}
        self.github.dispatches.append(dispatch)
        return 204, None, self.scopes()

    def list_releases(self, repository):
        return 200, self.github.releases.get(repository, [])[::-1], self.scopes()

    def create_release(self, repository, body):
        self.need(repository, "contents:write")
        releases = self.github.releases.setdefault(repository, [])
        if any(release["tag_name"] == body["tag_name"] for release in releases):
            errors = [{"resource": "Release", "code": "already_exists", "field": "tag_name"}]
            raise Refused(422, "Validation Failed", errors=errors)
        number = self.github.next_id()
        page = f"https://github.com/{repository}/releases/tag/{body['tag_name']}"
        # The clock of the tests: a second a number.
        published = f"2026-11-26T02:{number // 60:02}:{number % 60:02}Z"
        release = {"id": number, "html_url": page, "published_at": published, **body}
        releases.append(release)
        self.github.move(repository, f"tags/{body['tag_name']}", body["target_commitish"])
        return 201, release, self.scopes()

    # What tests ask for.

    def administer(self, path, raw):
        if path == "/_/state":
            self.answer(200, self.github.state(), {})
            return
        body = json.loads(raw)
        if path == "/_/faults":
            self.github.faults.append(body)
        elif path == "/_/refs":
            self.github.move(**body)
        self.answer(204, None, {})

    def answer(self, status, body, headers):
        text = body if isinstance(body, str) else json.dumps(body)
        data = b"" if status == 204 else text.encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, str(value))
        if status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        # Who asked may be gone.
        with suppress(BrokenPipeError):
            self.wfile.write(data)

    def log_message(self, *_):
        """Says nothing: what a test wants to know is in the state."""


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        github = GitHub(json.load(file))
    print(github.url, flush=True)
    sys.stdin.read()
    github.close()


if __name__ == "__main__":
    main()
