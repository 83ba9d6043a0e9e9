"""What Celery is told beyond Airflow's own configuration: `[celery] celery_config_options` names CELERY_CONFIG."""

from airflow.providers.celery.executors.default_celery import DEFAULT_CELERY_CONFIG

from perennial.orchestration.components import PRELOADED

# The worker imports it once, and every task is forked from it.
CELERY_CONFIG = {**DEFAULT_CELERY_CONFIG, "imports": PRELOADED}
