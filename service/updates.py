"""Which update log the settings name, opened, followed and written to."""

from indexer.bundle import Bundle
from indexer.live import LiveCatalogue
from indexer.product_encoding import encode_anew
from indexer.update_logs import open_log
from indexer.updates import UpdateLog
from models.encoder import Encoder
from service.following import UPDATES, Follower
from service.search import SearchEngine
from service.settings import Settings
from service.telemetry import Metrics


def log_of(settings: Settings) -> UpdateLog | None:
    """Return the log that `settings` name, None if they want none; it need not be reachable."""
    return open_log(
        settings.update_log.get_secret_value(),
        data_dir=settings.data_dir,
        redis_url=settings.redis_url.get_secret_value() if settings.redis_url is not None else None,
        name=settings.update_log_name,
    )


def follow(log: UpdateLog, encoder: Encoder, bundle: Bundle, engine: SearchEngine, metrics: Metrics) -> Follower:
    """Return a follower that has `engine` answer from `bundle` as `log` changes it; it is to be started."""
    catalogue = LiveCatalogue(bundle, lambda encoded: encode_anew(encoded, encoder))
    follower = Follower(log, catalogue, engine.serve, metrics)
    engine.ask_lacking(lambda: () if follower.available else (UPDATES,))
    return follower
