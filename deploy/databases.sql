-- Roles and databases of the installation: for psql, as the superuser, in the folder of the secrets, before anything
-- else starts.
-- Running it again changes nothing but the passwords, which become those of the secret files.
-- Text is ordered by code point, as every table of Perennial expects.
\set ON_ERROR_STOP on
\set airflow_password `cat airflow_database_password`
\set celery_password `cat celery_database_password`
\set warehouse_password `cat perennial_warehouse_password`
\set ledger_password `cat perennial_ledger_password`

select format('create role %I login', name)
from (values ('airflow'), ('celery'), ('perennial_warehouse'), ('perennial_ledger')) as wanted (name)
where not exists (select from pg_roles where rolname = name)
\gexec

alter role airflow password :'airflow_password';
alter role celery password :'celery_password';
alter role perennial_warehouse createdb password :'warehouse_password'; -- createdb: a rebuild is made beside it
alter role perennial_ledger password :'ledger_password';

select format(
    'create database %I owner %I template template0 encoding ''UTF8'' locale_provider builtin builtin_locale ''C.UTF-8''',
    name, name
)
from (values ('airflow'), ('celery'), ('perennial_warehouse'), ('perennial_ledger')) as wanted (name)
where not exists (select from pg_database where datname = name)
\gexec

select format('revoke connect on database %I from public', name)
from (values ('airflow'), ('celery'), ('perennial_warehouse'), ('perennial_ledger')) as wanted (name)
\gexec
