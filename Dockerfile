# The workflow with the versions that CI has. By default torch comes with CUDA, in several GB;
# --build-arg PIP_EXTRA_INDEX_URL=... names an index with wheels for CPUs, such as PyTorch's own.
FROM python:3.12-slim

ARG PIP_EXTRA_INDEX_URL
COPY . /opt/nst
RUN pip install --no-cache-dir --constraint /opt/nst/workflow/envs/constraints.txt \
      --editable /opt/nst

# Any user can run it, known here or not: results go to the folder that is mounted, caches to /tmp.
ENV HOME=/tmp USER=nst
USER 1000:1000
WORKDIR /work
ENTRYPOINT ["snakemake", "--snakefile", "/opt/nst/Snakefile"]
CMD ["--cores", "all"]
