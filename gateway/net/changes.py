"""What the endpoint does when other trunks are loaded: calls there are keep their connections, new ones get theirs.

A connection to or from a trunk stays while it has calls. What its peer proves is looked at anew, by what is asked of it
now. Where its trunk is found or verified otherwise, or is gone, nothing begins over it any more, and it is closed as
soon as no call needs it.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Collection, Mapping, Sequence

from gateway.base.values import HostPort
from gateway.net.admission import TrunkSources
from gateway.net.channel import Channel, StreamLimits
from gateway.net.channels import Channels
from gateway.net.listeners import SipListeners
from gateway.net.revive import Reviver
from gateway.net.stream import StreamChannel
from gateway.net.trunk_flows import TrunkFlows
from gateway.sip.flow import Flow
from gateway.trunks.model import Trunk
from gateway.trunks.table import TrunkTable

log = logging.getLogger(__name__)


class TrunkChanges:
    """Knows everything of the endpoint that is made from the trunks of the configuration.

    Args:
        table: by which all of that finds them.
    """

    def __init__(
        self,
        table: TrunkTable,
        sources: TrunkSources,
        flows: TrunkFlows,
        channels: Channels,
        listeners: SipListeners,
        reviver: Reviver,
    ) -> None:
        self._table, self._sources, self._flows = table, sources, flows
        self._channels, self._listeners, self._reviver = channels, listeners, reviver
        self._retired: set[int] = set()
        """Flows over which nothing begins any more; gone with their connections."""
        flows.dialer.left = lambda flow: self._retired.add(flow.id)

    def use(
        self,
        trunks: Mapping[str, Trunk],
        former: Collection[Trunk],
        limits: StreamLimits,
        nameservers: Sequence[HostPort],
    ) -> None:
        """Serve these trunks from now on.

        Args:
            former: what trunks were that have calls from before.
            limits: for connections that come from now on.
        """
        moved = self._table.use(trunks, former)
        self._sources.use(trunks, former, moved)
        self._listeners.limit(limits)
        self._flows.renew(moved, nameservers)
        self._reviver.forget(moved - trunks.keys())
        for channel in self._of_trunks():
            self._look_again(channel)

    def settle(self, former: Collection[Trunk], is_used: Callable[[Flow], bool]) -> None:
        """Calls have ended: forget what only they needed.

        Args:
            former: what trunks were that still have calls from before.
            is_used: whether a call, or a registration, is on this connection.
        """
        self._table.use(self._table.configured, former)
        self._sources.use(self._table.configured, former, ())
        for channel in self._of_trunks():
            self._look_again(channel)  # it may have been opened for whom it could be before
            if channel.flow.id in self._retired and not is_used(channel.flow):
                log.info("trunk=%s flow=%s state=closing reason=changed", channel.flow.trunk, channel.flow)
                channel.close()
        self._retired &= {channel.flow.id for channel in self._channels}

    def use_context(self, trunk: str, context: ssl.SSLContext) -> None:
        """Have new connections to a trunk, or to `tls:` listeners with "", use this context.

        No connection is dropped.
        """
        if trunk:
            self._flows.use(trunk, context)
        else:
            self._listeners.use(context)

    @property
    def retiring(self) -> int:
        """Connections that are kept for their calls alone."""
        return len(self._retired)

    def may_begin(self, flow: Flow) -> bool:
        """Whether what begins something new is taken over this connection, and from this address."""
        return flow.id not in self._retired and self._sources.may_call_in(flow)

    def _of_trunks(self) -> list[Channel]:
        return [channel for channel in self._channels if channel.flow.trunk is not None]

    def _look_again(self, channel: Channel) -> None:
        """Whose connection one is that a trunk opened to us, by what is configured now."""
        flow = channel.flow
        if flow.initiated or not isinstance(channel, StreamChannel):
            return
        if self._sources.find_configured(flow.remote.host, flow.transport):
            channel.reclaim(self._sources.claims(flow.remote.host, flow.transport))
        else:
            self._retired.add(flow.id)
