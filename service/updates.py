"""Which update log the settings name, opened, followed and written to."""

from pathlib import Path

from indexer.bundle import Bundle
from indexer.live import LiveCatalogue
from indexer.product_encoding import encode_anew
from indexer.updates import UpdateLog
from indexer.updates_redis import RedisLog
from indexer.updates_sqlite import FILE, SqliteLog
from models.encoder import Encoder
from service.following import UPDATES, Follower
from service.search import SearchEngine
from service.settings import Settings
from service.telemetry import Metrics


def open_log(settings: Settings) -> UpdateLog | None:
    """Return the log that `settings` name, None if they want none; it need not be reachable."""
    place = settings.update_log.get_secret_value()
    if place == "off":
        return None
    if place == "auto" and settings.redis_url is not None:
        place = settings.redis_url.get_secret_value()
    if place in {"auto", "file"}:
        return SqliteLog(Path(settings.data_dir) / FILE)
    return RedisLog(place, settings.update_log_name)


def follow(log: UpdateLog, encoder: Encoder, bundle: Bundle, engine: SearchEngine, metrics: Metrics) -> Follower:
    """Return a follower that has `engine` answer from `bundle` as `log` changes it; it is to be started."""
    catalogue = LiveCatalogue(bundle, lambda encoded: encode_anew(encoded, encoder))
    follower = Follower(log, catalogue, engine.serve, metrics)
    engine.ask_lacking(lambda: () if follower.available else (UPDATES,))
    return follower
