"""Whatever pages do, and in whatever order: what each of them believes is what is so, and nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.location.binding import MAX_BINDINGS
from gateway.sip.flow import Flow
from tests.effort import examples
from tests.location.pages import Page, Pages, connection, settle

PAGES = 14
"""More than may be bound at a time."""
ACTS = ("register", "register", "register", "unregister", "star", "close", "come back", "reload", "later")

Step = tuple[str, int]
steps = st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, PAGES - 1)), min_size=20, max_size=60)


@dataclass
class Crowd:
    """Pages of alice, some of which share the name of a device, and what each believes of itself."""

    pages: Pages = field(default_factory=Pages)
    page: dict[int, Page] = field(default_factory=dict)
    believes: dict[int, bool] = field(default_factory=dict)
    flows: int = 0
    heard: int = 0
    left: list[Flow] = field(default_factory=list)

    async def act(self, what: str, number: int) -> None:
        if what == "later":
            self.pages.now += 250
            return
        page = self.page.get(number) or self._open(number)
        if what == "close" or what == "reload":
            await page.close()
            del self.page[number]
            self.believes.pop(number, None)
        elif what == "come back":
            self.left.append(page.flow)  # the gateway will notice much later that nobody is there
            page.come_back(self._flow())
            self.believes.pop(number, None)
            await self._register(number, page)
        elif what == "unregister":
            await page.register(expires=0)
            self.believes.pop(number, None)
        elif what == "star":
            await page.register(star=True)
            self.believes.pop(number, None)
        else:
            await self._register(number, page)
        if what == "reload":
            await self._register(number, self._open(number))
        await self._hear()

    async def _register(self, number: int, page: Page) -> None:
        """A page sees the answer to its first REGISTER on a connection; those to refreshes its library keeps."""
        names = await page.register()
        assert page.name in names
        self.believes.setdefault(number, True)

    def _flow(self) -> int:
        self.flows += 1
        return self.flows

    def _open(self, number: int) -> Page:
        device = f"0{number % 3}" if number < 6 else ""
        page = Page(self.pages, f"p{number}n{self._flow()}", connection(0), device)
        self.page[number] = page.come_back(self._flow())
        return page

    async def _hear(self) -> None:
        """Each page reads what it was sent, and answers."""
        while len(self.pages.sender.sent) > self.heard:
            key, (_, flow) = list(self.pages.sender.sent.items())[self.heard]
            self.heard += 1
            for number, page in self.page.items():
                if page.flow == flow:
                    self.believes[number] = page.told()[-1] == "registered"
            self.pages.answered(key, 200)
            await settle()

    async def check(self) -> None:
        rings = await self.pages.rings()
        assert len(rings) == len(set(rings)) <= MAX_BINDINGS
        assert set(rings) <= {page.name for page in self.page.values()}


async def played(played_steps: Sequence[Step]) -> None:
    crowd = Crowd()
    for what, number in played_steps:
        await crowd.act(what, number)
        await crowd.check()
    await crowd.act("register", 99)  # whoever has run out is told at the next change
    bound = {b.contact.uri.user for b in crowd.pages.memory.peek("alice")}
    assert {number: page.name in bound for number, page in crowd.page.items()} == {
        number: crowd.believes.get(number, False) for number in crowd.page
    }
    for flow in [*crowd.left, *(page.flow for page in crowd.page.values())]:
        crowd.pages.location.flow_closed(flow)
    await crowd.pages.location.stop()
    assert (len(crowd.pages.memory), crowd.pages.location.users, len(crowd.pages.location.identities)) == (0, 0, 0)


@settings(max_examples=examples(400), deadline=None)
@given(steps)
def test_what_each_page_believes_is_so(played_steps: list[Step]) -> None:
    asyncio.run(played(played_steps))
