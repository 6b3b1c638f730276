"""The Flask application, put together from its parts."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version

from flask import Flask
from flask_limiter import Limiter
from werkzeug.middleware.proxy_fix import ProxyFix

from api.auth.identity import Identity
from api.auth.network import network_of_caller
from api.auth.views import auth_blueprint
from api.certificates import certificates_blueprint
from api.console import console_blueprint
from api.constraints import Constraints
from api.documents import documents_blueprint
from api.edge import install_edge
from api.erasures import erasures_blueprint
from api.health import health_blueprint
from api.hooks import hooks_blueprint
from api.metrics import EvidenceFigures
from api.offboardings import offboardings_blueprint
from api.problems import install_problems
from api.resources import views_of
from api.subjects import subjects_blueprint
from api.v1 import resources_blueprint
from api.wiring import Installation
from api.workshop import connectors_of, desks_of, seats_of, ticking_of, workshops_of
from config.metrics import Metrics, PoolState
from retention.removals import record_removals
from tenants.pool import Pool
from tenants.repository import Repository
from tenants.writes import Guard

MAX_BODY = 1024 * 1024


def create_app(
    installation: Installation, *, write_guard: Guard, metrics: Metrics | None = None
) -> Flask:
    """Return the application that serves an installation.

    `write_guard` is handed every write that changes or deletes rows, first in its transaction
    and in the scope of the tenant; it raises where the rows are held. Raises ResourceError when a
    resource of the domain cannot be shown, SettingsError without a key for sessions.
    """
    settings = installation.settings
    metrics = metrics or Metrics(EvidenceFigures(installation.auditor))
    app = Flask("api")
    app.config.update(
        SECRET_KEY=settings.session_key(),
        MAX_CONTENT_LENGTH=MAX_BODY,
        MAX_FORM_MEMORY_SIZE=MAX_BODY,
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]  # of Flask's default provider
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        # The host is not taken over: a proxy passes it on as it is, or it is the proxy's.
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]  # as Flask's docs have it
            app.wsgi_app, x_for=hops, x_proto=hops, x_host=0, x_port=0, x_prefix=0
        )
    resources = installation.domain.resources
    views = views_of(resources)
    install_edge(app, metrics)
    install_problems(app, Constraints(views).errors)
    for connections in (installation.app_connections, installation.auditor):
        connections.on_retry = partial(metrics.retry, connections.role)
        metrics.watch_pool(connections.role, partial(_state_of, connections.pool))
    identity = Identity(app, installation.app_connections)
    limiter = Limiter(network_of_caller, app=app, storage_uri="memory://")
    repositories = {
        view.name: Repository(
            view.resource,
            installation.app,
            visible=view.columns,
            clock=installation.clock,
            guard=write_guard,
            removed=partial(record_removals, installation.app),
            neighbours=resources,
        )
        for view in views.values()
    }
    token = settings.metrics_token
    app.register_blueprint(resources_blueprint(views, repositories, identity))
    app.register_blueprint(auth_blueprint(identity, limiter))
    app.register_blueprint(
        hooks_blueprint(installation.app_connections, connectors_of(installation))
    )
    workshops = workshops_of(installation)
    app.register_blueprint(subjects_blueprint(identity, workshops))
    app.register_blueprint(erasures_blueprint(identity, desks_of(installation, workshops)))
    app.register_blueprint(
        offboardings_blueprint(
            identity,
            installation.app_connections,
            seats_of(installation),
            backups_kept_days=settings.backups_kept_days,
        )
    )
    app.register_blueprint(certificates_blueprint(identity, seats_of(installation)))
    app.register_blueprint(documents_blueprint(views, version=version("tenure")))
    app.register_blueprint(
        health_blueprint(
            installation.app_connections,
            installation.catalog,
            metrics,
            None if token is None else token.get_secret_value(),
        )
    )
    app.register_blueprint(
        console_blueprint(
            installation.auditor,
            installation.app_connections,
            installation.clock,
            partial(ticking_of, installation),
        )
    )
    return app


def _state_of(pool: Pool) -> PoolState:
    return PoolState(pool.in_use, pool.idle, pool.waiting)
