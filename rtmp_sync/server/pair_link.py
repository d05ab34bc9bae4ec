"""The replication link of an origin, and where everything that it tells goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtmp_sync.cluster.peer_status import PeerStatus
from rtmp_sync.config_tls import link_tls
from rtmp_sync.errors import ConfigError
from rtmp_sync.server.replication import Replication, ReplicationHooks
from rtmp_sync.server.upkeep import Upkeep

if TYPE_CHECKING:
    from rtmp_sync.server.origin import Origin

__all__ = ["PairLink"]


class PairLink:
    """nodes: the pair's names in slot order; the first one dials."""

    def __init__(self, origin: Origin, nodes: tuple[str, str]) -> None:
        config, watchdog = origin.config, origin.watchdog
        peer = config.replication.peer
        assert peer is not None  # the configuration of a pair has one
        self._origin = origin
        hooks = ReplicationHooks(
            on_acked=watchdog.on_acked,
            on_link=watchdog.on_link,
            on_role=self._described,
            on_applied=watchdog.on_applied,
            on_batch=origin.persistence.write,
            on_installed=origin.persistence.begin_anew,
            on_divergent=origin.persistence.save_divergent,
            on_caught_up=self._caught_up,
            on_media=origin.instances.warm.receive,
            on_fence=watchdog.on_fence,
            on_switchover=watchdog.on_switchover,
            on_store_nonce=watchdog.on_store_nonce,
            on_replay=origin.instances.replays.begin,
            give_promise=watchdog.give_promise,
            on_same_id=self._same_id,
            history=origin.history.record,
        )
        node_id = next((node for node in nodes if _same(node, origin.node_id)), origin.node_id)
        self.replication = Replication(
            origin.state,
            node_id=node_id,
            pair_id="+".join(nodes),
            boot_id=origin.boot_id,
            secret=config.secrets(),
            listen=config.replication.listen,
            peer=peer,
            dials=node_id == nodes[0],
            timing=config.timing(),
            tls=link_tls(config.replication),
            snapshot_rate=config.replication.snapshot_rate,
            hooks=hooks,
        )
        self._upkeep = Upkeep(origin.state, self._memory_changed)

    async def start(self) -> None:
        """Listen and dial. Raises ConfigError."""
        self._origin.turn.on_batch.append(self.replication.send_batch)
        self._origin.turn.on_replay = self.replication.send_replay
        self._origin.instances.warm.send = self.replication.send_media
        await self.replication.start()
        self._upkeep.start()

    async def stop(self) -> None:
        """Say goodbye."""
        self._upkeep.stop()
        self._origin.turn.on_batch.remove(self.replication.send_batch)
        await self.replication.stop()

    def _caught_up(self) -> None:
        self._origin.watchdog.on_caught_up()
        self._origin.instances.warm.tell_all()

    def _described(self, peer: PeerStatus) -> None:
        self._origin.load_balancer.peer_is(self.replication.peer_address)
        self._origin.watchdog.on_role(peer)

    def _memory_changed(self, entries: list[str]) -> None:
        """The next comparison finds that the copies differ, and has a whole one made."""
        self._origin.history.record("memory_corrupted", entries=entries[:10], count=len(entries))

    def _same_id(self, dialled: bool) -> None:
        """Both nodes have one id: the dialer that never took part is the wrong one."""
        origin = self._origin
        origin.history.record("same_node_id", node=origin.node_id)
        if dialled and not origin.watchdog.took_part:
            fix = "the other origin has this id too; give each its own name from the pair file"
            origin.found_wrong(ConfigError("node.id", origin.node_id, fix))


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()
