"""Which update log the settings name, opened, followed and written to."""

from indexer.bundle import Bundle
from indexer.live import LiveCatalogue
from indexer.product_encoding import encode_anew
from indexer.update_logs import open_log
from indexer.updates import UpdateLog
from service.following import Follower
from service.settings import Settings
from service.telemetry import Metrics
from service.versions import Version


def log_of(settings: Settings) -> UpdateLog | None:
    """Return the log that `settings` name, None if they want none; it need not be reachable."""
    return open_log(
        settings.update_log.get_secret_value(),
        data_dir=settings.data_dir,
        redis_url=settings.redis_url.get_secret_value() if settings.redis_url is not None else None,
        name=settings.update_log_name,
    )


def follow(version: Version, bundle: Bundle, log: UpdateLog, metrics: Metrics | None = None) -> Follower:
    """Have `version` follow `log`, which is its own from now on; the follower is to be started."""
    encoder = version.served.encoder
    catalogue = LiveCatalogue(bundle, lambda encoded: encode_anew(encoded, encoder))
    version.follower = Follower(log, catalogue, version.show, metrics)
    return version.follower
