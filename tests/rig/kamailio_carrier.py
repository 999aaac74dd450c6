"""Kamailio as a carrier: it sends calls elsewhere, asks who calls, and has too much to do when a test says so.

The last two digits that are dialled say what becomes of a call; the one before them is the gateway's affair. See
`NUMBERS`.
"""

from __future__ import annotations

import socket
from pathlib import Path

from tests.rig.kamailio import KamailioServer

USER, PASSWORD = "acme", "canary-carrier-password"
PROXY_REALM, SERVER_REALM = "carrier.test", "switch.carrier.test"
RETRY_AFTER = 3
"""Seconds it wants to be left alone for while it has too much to do."""
CONTROL_SECONDS = 5.0

NUMBERS = {
    "00": "goes to the telephone",
    "01": "nobody there: 480",
    "11": "302 to the telephone",
    "12": "302 with three Contacts: nobody there (no q), a 302 (q=0.3), the telephone (q=0.5)",
    "13": "301 to the number 00 here",
    "14": "302 to a host of somebody else",
    "15": "302 to a number that may not be dialled",
    "16": "302 to itself",
    "17": "302 to another URI of itself, each time it is called",
    "18": "302 to a challenge",
    "21": "407, then the telephone",
    "22": "407 with a challenge of somebody else before its own",
    "23": "401, then the telephone",
    "24": "407 here, then 401 at the next Kamailio",
    "26": "answered, and its BYE is challenged",
}

CONFIGURATION = """\
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "corex.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "auth.so"
loadmodule "xlog.so"
modparam("pv", "shvset", "busy=i:0")
modparam("auth", "nonce_expire", 60)
modparam("auth", "auth_checks_no_dlg", 7)
modparam("auth", "nonce_count", 1)
modparam("auth", "qop", "auth")
modparam("auth", "algorithm", "{algorithm}")
modparam("rr", "enable_full_lr", 1)
request_route {{
  $var(answers) = "" + $hdrc(Proxy-Authorization) + " " + $hdrc(Authorization);
  xlog("L_NOTICE", "IN $rm $ru cseq $cs call $ci asked $var(answers) busy $shv(busy)\\n");
  if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
  if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
  if (has_totag()) {{ route(WITHIN); exit; }}
  if (is_method("OPTIONS")) {{ sl_send_reply("200", "OK"); exit; }}
  if (is_method("MESSAGE")) {{ $shv(busy) = $(rU{{s.int}}); sl_send_reply("200", "OK"); exit; }}
  if (!is_method("INVITE")) {{ sl_send_reply("405", "Method Not Allowed"); exit; }}
  if ($shv(busy) == 1) {{
    append_to_reply("Retry-After: {retry_after}\\r\\n");
    sl_send_reply("503", "Too much to do"); exit;
  }}
  $var(what) = $(rU{{s.substr,1,2}});
  $var(first) = $(rU{{s.substr,0,1}});
  route(ELSEWHERE);
  route(ASKING);
  if ($var(what) == "01") {{ sl_send_reply("480", "Nobody there"); exit; }}
  if ($var(what) == "26") record_route(";ask=bye"); else record_route();
  if ($var(what) == "24") {{ $rU = $var(first) + "23"; $du = "sip:{next}"; }} else $du = "sip:{phone}";
  t_relay();
}}
route[WITHIN] {{
  if (loose_route()) {{
    if (is_method("BYE") && check_route_param("ask=bye")) route(PROXY);
    t_relay(); exit;
  }}
  if (is_method("ACK")) {{ if (t_check_trans()) t_relay(); exit; }}
  sl_send_reply("404", "Not here");
}}
route[ELSEWHERE] {{
  $var(self) = "@{host}:{port}";
  switch ($var(what)) {{
    case "11": $ru = "sip:" + $var(first) + "00@{phone}"; break;
    case "12": $ru = "sip:" + $var(first) + "01" + $var(self);
               append_branch("sip:" + $var(first) + "15" + $var(self), "0.3");
               append_branch("sip:" + $var(first) + "00@{phone}", "0.5"); break;
    case "13": $ru = "sip:" + $var(first) + "00" + $var(self); sl_send_reply("301", "Moved Permanently"); exit;
    case "14": $ru = "sip:" + $var(first) + "00@198.51.100.7"; break;
    case "15": $ru = "sip:100" + $var(self); break;
    case "16": $ru = "sip:" + $rU + $var(self); break;
    case "17": $ru = "sip:" + $rU + $var(self) + ";turn=" + $cs; break;
    case "18": $ru = "sip:" + $var(first) + "21" + $var(self); break;
    default: return;
  }}
  sl_send_reply("302", "Moved Temporarily");
  exit;
}}
route[ASKING] {{
  switch ($var(what)) {{
    case "22":
      if ($hdrc(Proxy-Authorization) == 0)
        append_to_reply("Proxy-Authenticate: Digest realm=\\"other.test\\", nonce=\\"1\\", algorithm=SHA-256\\r\\n");
    case "21":
    case "24": route(PROXY); break;
    case "23":
      if (!pv_www_authenticate("{server_realm}", "{password}", "0")) {{ www_challenge("{server_realm}", "1"); exit; }}
      consume_credentials();
  }}
}}
route[PROXY] {{
  if (!pv_proxy_authenticate("{proxy_realm}", "{password}", "0")) {{ proxy_challenge("{proxy_realm}", "1"); exit; }}
  consume_credentials();
}}
"""


class KamailioCarrier(KamailioServer):
    """One server of a carrier.

    Args:
        phone: where its calls go, `host:port`.
        next_server: where number 24 goes.
        algorithm: of its challenges.
    """

    def __init__(
        self, directory: Path, host: str, *, phone: str, next_server: str = "", algorithm: str = "MD5"
    ) -> None:
        super().__init__(directory, host)
        self.configuration = CONFIGURATION.format(
            host=host,
            port=self.port,
            phone=phone,
            next=next_server or phone,
            algorithm=algorithm,
            retry_after=RETRY_AFTER,
            proxy_realm=PROXY_REALM,
            server_realm=SERVER_REALM,
            password=PASSWORD,
        )

    def has_too_much_to_do(self, busy: bool) -> None:
        """Whether calls are refused by 503 from now on."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            control.settimeout(CONTROL_SECONDS)
            control.bind((self.host, 0))
            host, port = control.getsockname()
            lines = [
                f"MESSAGE sip:{int(busy)}@{self.host}:{self.port} SIP/2.0",
                f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{port}",
                "Max-Forwards: 70",
                f"From: <sip:control@{host}>;tag=1",
                f"To: <sip:{self.host}>",
                f"Call-ID: control-{port}",
                "CSeq: 1 MESSAGE",
                "Content-Length: 0",
            ]
            control.sendto(("\r\n".join(lines) + "\r\n\r\n").encode(), (self.host, self.port))
            answer = control.recv(4096)
            assert answer.startswith(b"SIP/2.0 200"), answer

    def asked(self, number: str) -> list[str]:
        """What it logged of each INVITE for that number; its words are those of `IN` in the configuration."""
        return [line.split(" IN ")[-1] for line in self.log.splitlines() if f"IN INVITE sip:{number}@" in line]
